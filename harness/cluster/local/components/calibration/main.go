// Calibration is a target whose outages are known: what the stopwatch of the harness is measured against.
//
// One process controls, its child serves. The control listener takes outages of a kind and a length, and tells when
// each really began and ended, on CLOCK_MONOTONIC, which all processes of one kernel share:
//
//	POST /outages {"kind": "pause", "seconds": 0.5, "delay": 0.1}   -> 202 {"id": 1}
//	GET  /outages/1                                                 -> 204 while it lasts, then 200 with its truth
//	GET  /clock                                                     -> {"monotonic": …, "wall": …, "boot": the kernel's}
//
// Kinds: "pause" stops the child with SIGSTOP and lets it go on with SIGCONT: the kernel still takes a few connections
// for it, and nobody answers. "listener" closes the child's listener and resets its connections: the kernel refuses new ones.
// "readiness" lets /readyz answer 503 while everything else is served.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	clockMonotonic = 1
	// Connections that the kernel takes while the child is paused. All of them must be answered before a user who comes
	// afterwards, so many of them would make an outage longer than it is known to be: 9 ms for each second of a pause
	// that is probed 100 times a second.
	pausedBacklog = 4
	// Connections that the kernel takes at any other time. With as few as above, a child that waits 50 ms for a
	// processor would lose connections while it counts as up. The kernel lowers this to net.core.somaxconn.
	servingBacklog = 4096
)

// monotonic reads CLOCK_MONOTONIC in seconds. Go's own monotonic readings count from the start of the process.
func monotonic() float64 {
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
	return float64(now.Sec) + float64(now.Nsec)/1e9
}

// Bracket holds the instant of an act between the readings just before and just after it.
type Bracket struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Truth is one outage as it really was.
type Truth struct {
	Kind  string  `json:"kind"`
	Began Bracket `json:"began"`
	Ended Bracket `json:"ended"`
	Error string  `json:"error,omitempty"`
}

func bracket(act func() error) (Bracket, error) {
	low := monotonic()
	err := act()
	return Bracket{low, monotonic()}, err
}

func main() {
	serving := flag.String("serve", ":8080", "address of the service that has the outages")
	control := flag.String("control", ":8081", "address of the control listener")
	child := flag.Bool("child", false, "serve; told by the controlling process on standard input")
	flag.Parse()
	if *child {
		log.Fatal(serve(*serving))
	}
	log.Fatal(controlled(*serving, *control))
}

// --- the child: serves, and obeys one word a line: down, up, unready, ready, short, long

type service struct {
	address  string
	listener *net.TCPListener
	server   *http.Server
	mutex    sync.Mutex
	open     map[net.Conn]struct{}
	ready    bool
}

func serve(address string) error {
	own := &service{address: address, open: map[net.Conn]struct{}{}, ready: true}
	if err := own.up(); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	acts := map[string]func() error{
		"down": own.down, "up": own.up,
		"short": func() error { return own.keep(pausedBacklog) }, "long": func() error { return own.keep(servingBacklog) },
		"unready": func() error { return own.setReady(false) }, "ready": func() error { return own.setReady(true) },
	}
	for lines.Scan() {
		act, known := acts[lines.Text()]
		if !known {
			return fmt.Errorf("told %q", lines.Text())
		}
		took, err := bracket(act)
		if err != nil {
			return err
		}
		fmt.Printf("%.9f %.9f\n", took.Low, took.High)
	}
	return io.EOF
}

func (own *service) up() error {
	listener, err := net.Listen("tcp", own.address)
	if err != nil {
		return err
	}
	own.listener = listener.(*net.TCPListener)
	if err := own.keep(servingBacklog); err != nil {
		return err
	}
	own.server = &http.Server{Handler: http.HandlerFunc(own.answer), ConnState: own.keepCount}
	server := own.server
	go server.Serve(listener)
	return nil
}

// keep sets how many connections the kernel keeps that the child has not accepted: listen(2) may be called again.
func (own *service) keep(backlog int) error {
	raw, err := own.listener.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(socket uintptr) { failed = syscall.Listen(int(socket), backlog) }); err != nil {
		return err
	}
	return failed
}

// down closes the listener and then every connection, with RST in place of FIN.
func (own *service) down() error {
	own.mutex.Lock()
	connections := make([]net.Conn, 0, len(own.open))
	for connection := range own.open {
		connections = append(connections, connection)
	}
	own.mutex.Unlock()
	for _, connection := range connections {
		if tcp, is := connection.(*net.TCPConn); is {
			tcp.SetLinger(0)
		}
	}
	return own.server.Close()
}

func (own *service) setReady(ready bool) error {
	own.mutex.Lock()
	defer own.mutex.Unlock()
	own.ready = ready
	return nil
}

func (own *service) keepCount(connection net.Conn, state http.ConnState) {
	own.mutex.Lock()
	defer own.mutex.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(own.open, connection)
	} else {
		own.open[connection] = struct{}{}
	}
}

func (own *service) answer(response http.ResponseWriter, request *http.Request) {
	own.mutex.Lock()
	ready := own.ready
	own.mutex.Unlock()
	if request.URL.Path == "/readyz" && !ready {
		http.Error(response, "not ready", http.StatusServiceUnavailable)
		return
	}
	io.WriteString(response, "ok\n")
}

// --- the controlling process

type controller struct {
	child    *exec.Cmd
	tell     io.Writer
	told     *bufio.Scanner
	mutex    sync.Mutex // one outage at a time
	known    sync.Mutex
	outages  map[int]*Truth
	nextName int
}

func controlled(serving, control string) error {
	child := exec.Command("/proc/self/exe", "--child", "--serve", serving)
	child.Stderr = os.Stderr
	// A container without its first process is over, and so is its child; elsewhere the kernel sees to it.
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	input, err := child.StdinPipe()
	if err != nil {
		return err
	}
	output, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	go func() {
		err := child.Wait()
		log.Fatalf("the serving process ended: %v", err)
	}()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-ended
		os.Exit(0)
	}()
	own := &controller{child: child, tell: input, told: bufio.NewScanner(output), outages: map[int]*Truth{}}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /clock", own.clock)
	routes.HandleFunc("POST /outages", own.begin)
	routes.HandleFunc("GET /outages/{id}", own.truth)
	return http.ListenAndServe(control, routes)
}

func (own *controller) clock(response http.ResponseWriter, _ *http.Request) {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	now, wall := monotonic(), float64(time.Now().UnixNano())/1e9
	answer(response, http.StatusOK, map[string]any{"monotonic": now, "wall": wall, "boot": strings.TrimSpace(string(boot))})
}

func (own *controller) begin(response http.ResponseWriter, request *http.Request) {
	var asked struct {
		Kind    string  `json:"kind"`
		Seconds float64 `json:"seconds"`
		Delay   float64 `json:"delay"`
	}
	if err := json.NewDecoder(request.Body).Decode(&asked); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	begin, end := own.acts(asked.Kind)
	if begin == nil || asked.Seconds <= 0 || asked.Seconds > 600 || asked.Delay < 0 || asked.Delay > 60 {
		http.Error(response, "expected kind pause, listener or readiness, seconds to 600, delay to 60", http.StatusBadRequest)
		return
	}
	own.known.Lock()
	own.nextName++
	id := own.nextName
	own.outages[id] = nil
	own.known.Unlock()
	go func() {
		own.mutex.Lock()
		defer own.mutex.Unlock()
		time.Sleep(time.Duration(asked.Delay * float64(time.Second)))
		truth := &Truth{Kind: asked.Kind}
		var failed error
		if truth.Began, failed = begin(); failed == nil {
			time.Sleep(time.Duration(asked.Seconds * float64(time.Second)))
			truth.Ended, failed = end()
		}
		if failed != nil {
			truth.Error = failed.Error()
		}
		own.known.Lock()
		own.outages[id] = truth
		own.known.Unlock()
	}()
	answer(response, http.StatusAccepted, map[string]int{"id": id})
}

func (own *controller) truth(response http.ResponseWriter, request *http.Request) {
	id, _ := strconv.Atoi(request.PathValue("id"))
	own.known.Lock()
	truth, known := own.outages[id]
	own.known.Unlock()
	switch {
	case !known:
		http.Error(response, "no such outage", http.StatusNotFound)
	case truth == nil:
		response.WriteHeader(http.StatusNoContent)
	default:
		answer(response, http.StatusOK, truth)
	}
}

type act func() (Bracket, error)

func (own *controller) acts(kind string) (act, act) {
	switch kind {
	case "pause":
		return own.stop, own.goOn
	case "listener":
		return own.word("down"), own.word("up")
	case "readiness":
		return own.word("unready"), own.word("ready")
	}
	return nil, nil
}

func (own *controller) word(word string) act {
	return func() (Bracket, error) {
		var took Bracket
		if _, err := fmt.Fprintln(own.tell, word); err != nil {
			return took, err
		}
		if !own.told.Scan() {
			return took, fmt.Errorf("the serving process said nothing to %q", word)
		}
		_, err := fmt.Sscanf(own.told.Text(), "%g %g", &took.Low, &took.High)
		return took, err
	}
}

// stop returns when the last thread of the child stands still: the signal reaches each on its own.
func (own *controller) stop() (Bracket, error) {
	if _, err := own.word("short")(); err != nil {
		return Bracket{}, err
	}
	return bracket(func() error {
		if err := own.child.Process.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		for tries := 0; tries < 10_000; tries++ {
			if stopped(own.child.Process.Pid) {
				return nil
			}
			time.Sleep(50 * time.Microsecond)
		}
		return fmt.Errorf("the serving process did not stop")
	})
}

// goOn brackets the child's first act after the signal: on a busy machine its turn comes long after it.
func (own *controller) goOn() (Bracket, error) {
	if err := own.child.Process.Signal(syscall.SIGCONT); err != nil {
		return Bracket{}, err
	}
	return own.word("long")()
}

func stopped(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			return false
		}
		// The name in parentheses may hold anything; the state is the first field after it.
		_, fields, found := strings.Cut(string(text), ") ")
		if !found || !strings.HasPrefix(fields, "T") {
			return false
		}
	}
	return true
}

func answer(response http.ResponseWriter, status int, value any) {
	response.Header().Set("Content-Type", "application/json")
	response.WriteHeader(status)
	json.NewEncoder(response).Encode(value)
}
