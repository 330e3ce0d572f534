// Probe-target is a web service for experiments with probes and with the end of a pod: its health is set by switches.
//
//	GET /       -> 200, also while the program is not ready: its log shows who should not have been served
//	GET /livez  -> for liveness and startup probes, as the switch "liveness" is set
//	GET /readyz -> for readiness probes, as the switch "readiness" is set; 503 on SIGTERM
//
// It writes one line of JSON for each request: time, path, status, whether it was ready, and the number of the request
// on its connection. Each answer has the same in the headers X-Ready, X-Request-On-Connection and X-Pod.
//
// The port for switches (-admin) answers 200 after a switch is set:
//
//	POST /switch/liveness?to=ok|fail|late|hang   late answers 200 after the time of -late
//	POST /switch/readiness?to=ok|fail|late|hang
//	POST /switch/port?to=open|closed             closed: new connections are refused, idle ones are closed
//	POST /switch/process?to=hang|run|exit        hang: no request is answered, and SIGTERM has no effect; exit: the
//	                                             program ends with code 1
//
// With -register it serves nothing: it sets the switch "readiness" of other pods to ok and a condition in their status,
// as for a readiness gate, and ends.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Longer than any grace period of an experiment: kubelet ends a pod that still serves requests then.
const mostDrain = time.Minute

type entry struct {
	Time   time.Time `json:"time"`
	Path   string    `json:"path"`
	Status int       `json:"status"`
	Ready  bool      `json:"ready"`
	Number int64     `json:"number"`
}

type onConnection struct{}

// service is the program's state. The switches are guarded by the mutex.
type service struct {
	address   string
	late      time.Duration
	latency   time.Duration
	pod       string
	server    *http.Server
	output    *json.Encoder
	draining  atomic.Bool
	mutex     sync.Mutex
	liveness  string
	readiness string
	listener  net.Listener
	// Closed when requests are answered again; nil while they are.
	hung chan struct{}
	// One line at a time.
	writing sync.Mutex
}

func (service *service) state() (liveness, readiness string, hung chan struct{}) {
	service.mutex.Lock()
	defer service.mutex.Unlock()
	return service.liveness, service.readiness, service.hung
}

func (service *service) ready() bool {
	_, readiness, _ := service.state()
	return readiness == "ok" && !service.draining.Load()
}

// answer writes the status of one request, its headers and its line in the log.
func (service *service) answer(response http.ResponseWriter, request *http.Request, good bool) {
	status, text := http.StatusOK, "ok"
	if !good {
		status, text = http.StatusServiceUnavailable, "unavailable"
	}
	number, ready := int64(0), service.ready()
	if counter, ok := request.Context().Value(onConnection{}).(*atomic.Int64); ok {
		number = counter.Add(1)
	}
	header := response.Header()
	header.Set("X-Pod", service.pod)
	header.Set("X-Ready", fmt.Sprint(ready))
	header.Set("X-Request-On-Connection", fmt.Sprint(number))
	if service.draining.Load() {
		// The client sends its next request on a new connection, to a pod that stays.
		header.Set("Connection", "close")
	}
	response.WriteHeader(status)
	fmt.Fprintln(response, text)
	service.writing.Lock()
	defer service.writing.Unlock()
	if err := service.output.Encode(entry{time.Now().UTC(), request.URL.Path, status, ready, number}); err != nil {
		log.Fatalf("standard output: %v", err)
	}
}

// wait returns false if the client left before.
func wait(request *http.Request, length time.Duration, until <-chan struct{}) bool {
	var timer <-chan time.Time
	if length > 0 {
		timer = time.After(length)
	}
	select {
	case <-request.Context().Done():
		return false
	case <-until:
		return true
	case <-timer:
		return true
	}
}

// handle answers all requests of the service; a process that hangs answers none.
func (service *service) handle(response http.ResponseWriter, request *http.Request) {
	liveness, readiness, hung := service.state()
	if hung != nil && !wait(request, 0, hung) {
		return
	}
	switch request.URL.Path {
	case "/livez":
		service.probed(response, request, liveness)
	case "/readyz":
		if service.draining.Load() {
			readiness = "fail"
		}
		service.probed(response, request, readiness)
	default:
		if service.latency > 0 && !wait(request, service.latency, nil) {
			return
		}
		service.answer(response, request, true)
	}
}

func (service *service) probed(response http.ResponseWriter, request *http.Request, to string) {
	if to == "hang" && !wait(request, 0, nil) {
		return
	}
	if to == "late" && !wait(request, service.late, nil) {
		return
	}
	service.answer(response, request, to != "fail")
}

// turn sets a switch. It returns false if there is no such switch or position.
func (service *service) turn(name, to string) (bool, error) {
	health := to == "ok" || to == "fail" || to == "late" || to == "hang"
	switch {
	case name == "liveness" && health, name == "readiness" && health:
		service.mutex.Lock()
		defer service.mutex.Unlock()
		if name == "liveness" {
			service.liveness = to
		} else {
			service.readiness = to
		}
	case name == "port" && to == "open":
		return true, service.open()
	case name == "port" && to == "closed":
		return true, service.close()
	case name == "process" && (to == "hang" || to == "run"):
		service.mutex.Lock()
		defer service.mutex.Unlock()
		if to == "hang" && service.hung == nil {
			service.hung = make(chan struct{})
		} else if to == "run" && service.hung != nil {
			close(service.hung)
			service.hung = nil
		}
	case name == "process" && to == "exit":
		// After the answer, which shows that the switch was set.
		time.AfterFunc(100*time.Millisecond, func() { os.Exit(1) })
	default:
		return false, nil
	}
	return true, nil
}

// open listens on the service's port, unless it does already.
func (service *service) open() error {
	service.mutex.Lock()
	defer service.mutex.Unlock()
	if service.listener != nil {
		return nil
	}
	listener, err := net.Listen("tcp", service.address)
	if err != nil {
		return err
	}
	service.listener = listener
	service.server.SetKeepAlivesEnabled(true)
	go func() {
		err := service.server.Serve(listener)
		// The listener is closed by the switch, and by the end of the program.
		if !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
			log.Fatalf("serve: %v", err)
		}
	}()
	return nil
}

func (service *service) close() error {
	service.mutex.Lock()
	defer service.mutex.Unlock()
	if service.listener == nil {
		return nil
	}
	service.server.SetKeepAlivesEnabled(false)
	err := service.listener.Close()
	service.listener = nil
	return err
}

func (service *service) switched(response http.ResponseWriter, request *http.Request) {
	name, to := request.PathValue("name"), request.URL.Query().Get("to")
	known, err := service.turn(name, to)
	switch {
	case err != nil:
		http.Error(response, err.Error(), http.StatusInternalServerError)
	case !known:
		http.Error(response, fmt.Sprintf("found no switch %q with a position %q", name, to), http.StatusBadRequest)
	default:
		fmt.Fprintf(response, "%s: %s\n", name, to)
	}
}

// end waits for SIGTERM and ends the program: at once, or after the requests that have begun.
func (service *service) end(signals <-chan os.Signal, atOnce bool, drain time.Duration) {
	<-signals
	if atOnce {
		os.Exit(0)
	}
	if _, _, hung := service.state(); hung != nil {
		// A process that hangs does not end either.
		<-hung
	}
	service.draining.Store(true)
	time.Sleep(drain)
	limit, cancel := context.WithTimeout(context.Background(), mostDrain)
	defer cancel()
	if err := service.server.Shutdown(limit); err != nil {
		log.Fatalf("shutdown: %v", err)
	}
	os.Exit(0)
}

// checked returns the exit code of a probe by a command.
func checked(url string) int {
	response, err := http.Get(url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		fmt.Fprintln(os.Stderr, response.Status)
		return 1
	}
	return 0
}

func main() {
	address := flag.String("listen", ":8080", "address of the service")
	admin := flag.String("admin", ":8081", "address for the switches")
	liveness := flag.String("liveness", "ok", "first position of the switch: ok, fail, late or hang")
	readiness := flag.String("readiness", "ok", "first position of the switch: ok, fail, late or hang")
	late := flag.Duration("late", 3*time.Second, "time until a late answer")
	latency := flag.Duration("latency", 0, "time until the answer to a request that is no probe")
	startAfter := flag.Duration("start-after", 0, "time until the service's port is open")
	readyAfter := flag.Duration("ready-after", 0, "time from then until the switch of readiness is set to ok")
	exitAfter := flag.Duration("exit-after", 0, "end with code 1 after this time; 0: never")
	atOnce := flag.Bool("exit-at-once", false, "end at once on SIGTERM, instead of after the requests that have begun")
	drain := flag.Duration("drain", 0, "on SIGTERM, answer new requests for this long, each with Connection: close")
	check := flag.String("check", "", "get this URL, and end with code 0 if the answer is 200: for probes by a command")
	register := flag.String("register", "", "register the pods with these labels, such as app=shop, and end")
	condition := flag.String("condition", "", "the condition that registration sets")
	wanted := flag.Int("pods", 1, "end when so many pods are registered")
	flag.Parse()
	if *register != "" {
		if err := registered(*register, *condition, *wanted); err != nil {
			log.Fatalf("register: %v", err)
		}
		return
	}
	if *check != "" {
		os.Exit(checked(*check))
	}
	pod, err := os.Hostname()
	if err != nil {
		log.Fatalf("hostname: %v", err)
	}
	service := &service{
		address: *address, late: *late, latency: *latency, pod: pod, output: json.NewEncoder(os.Stdout),
		liveness: *liveness, readiness: *readiness,
	}
	service.server = &http.Server{
		Handler: http.HandlerFunc(service.handle),
		ConnContext: func(parent context.Context, _ net.Conn) context.Context {
			return context.WithValue(parent, onConnection{}, new(atomic.Int64))
		},
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go service.end(signals, *atOnce, *drain)
	if *exitAfter > 0 {
		time.AfterFunc(*exitAfter, func() { os.Exit(1) })
	}
	go func() {
		time.Sleep(*startAfter)
		if err := service.open(); err != nil {
			log.Fatalf("listen: %v", err)
		}
		if *readyAfter > 0 {
			time.Sleep(*readyAfter)
			service.turn("readiness", "ok")
		}
	}()
	switches := http.NewServeMux()
	switches.HandleFunc("POST /switch/{name}", service.switched)
	log.Fatal(http.ListenAndServe(*admin, switches))
}
