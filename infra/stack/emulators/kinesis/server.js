// kinesalite's own command line listens on all interfaces; this listens on loopback alone.
const [port, host] = process.argv.slice(2)
require('kinesalite')({ createStreamMs: 0, deleteStreamMs: 0, updateStreamMs: 0, shardLimit: 1000 })
  .listen(Number(port), host, () => console.log(`listening on ${host}:${port}`))
process.on('SIGTERM', () => process.exit(0))
// It throws where a client dies in the middle of a request. That request has come to nothing; the others go on.
process.on('uncaughtException', error => {
  console.error(error)
  if (error.code !== 'ECONNRESET') process.exit(1)
})
