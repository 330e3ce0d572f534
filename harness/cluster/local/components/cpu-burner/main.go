// Cpu-burner is a web service whose requests use a known time of a processor, for experiments with autoscalers.
//
//	GET /work?cpu=5ms -> 200 after this request has used 5 ms of CPU time (at most 1 s)
//	GET /readyz       -> 200
//	GET /metrics      -> http_requests_total and burnt_cpu_seconds_total, for Prometheus
//
// The time is that of the thread, not of a clock on the wall: a request on a slow or a busy machine takes longer, but
// uses the same CPU time. An experiment on another machine therefore needs the same number of replicas.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	most = time.Second
	// Between two looks at the thread's CPU time: about 20 µs of work.
	rounds = 20_000
	// RUSAGE_THREAD of Linux, which package syscall does not name.
	ofThread = 1
)

var (
	requests atomic.Int64
	burnt    atomic.Int64
	sink     atomic.Uint64
)

// used returns the CPU time of the calling thread, in user and in kernel mode.
func used() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(ofThread, &usage); err != nil {
		log.Fatalf("getrusage: %v", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// burn works until the thread has used this much more CPU time, and returns what it used.
func burn(wanted time.Duration) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start, value := used(), sink.Load()
	for {
		for i := 0; i < rounds; i++ {
			value = value*6364136223846793005 + 1442695040888963407
		}
		if spent := used() - start; spent >= wanted {
			// Stored, so that the compiler cannot drop the loop.
			sink.Store(value)
			return spent
		}
	}
}

func work(response http.ResponseWriter, request *http.Request) {
	wanted, err := time.ParseDuration(request.FormValue("cpu"))
	if err != nil || wanted < 0 || wanted > most {
		http.Error(response, fmt.Sprintf("found cpu=%q, expected a duration from 0s to %s", request.FormValue("cpu"), most), http.StatusBadRequest)
		return
	}
	spent := burn(wanted)
	requests.Add(1)
	burnt.Add(int64(spent))
	fmt.Fprintf(response, "used %s\n", spent)
}

func metrics(response http.ResponseWriter, _ *http.Request) {
	response.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintf(response, "# TYPE http_requests_total counter\nhttp_requests_total{path=\"/work\"} %d\n", requests.Load())
	seconds := time.Duration(burnt.Load()).Seconds()
	fmt.Fprintf(response, "# TYPE burnt_cpu_seconds_total counter\nburnt_cpu_seconds_total %g\n", seconds)
}

func main() {
	address := flag.String("listen", ":8080", "address to serve on")
	flag.Parse()
	http.HandleFunc("/work", work)
	http.HandleFunc("/metrics", metrics)
	http.HandleFunc("/readyz", func(response http.ResponseWriter, _ *http.Request) { fmt.Fprintln(response, "ok") })
	log.Fatal(http.ListenAndServe(*address, nil))
}
