// Command pubsub-emulator serves Google's in-memory Pub/Sub for tests on one loopback address until it is told to stop.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"cloud.google.com/go/pubsub/v2/pstest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: pubsub-emulator HOST:PORT")
		os.Exit(2)
	}
	server := pstest.NewServerWithAddress(os.Args[1])
	fmt.Println("listening on", server.Addr)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	server.Close()
}
