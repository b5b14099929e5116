// kinesalite's own command line listens on all interfaces; this listens on loopback alone.
const [port, host] = process.argv.slice(2)
require('kinesalite')({ createStreamMs: 0, deleteStreamMs: 0, updateStreamMs: 0, shardLimit: 1000 })
  .listen(Number(port), host, () => console.log(`listening on ${host}:${port}`))
process.on('SIGTERM', () => process.exit(0))
