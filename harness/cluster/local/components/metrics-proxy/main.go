// Metrics-proxy serves metrics.k8s.io in the place of metrics-server, for experiments with autoscalers: it asks
// metrics-server, and answers late, with old numbers, with zeros, or with an error.
//
//	-delay 2s     every answer is late by this time
//	-age 5m       the numbers of each pod are this old, or its first ones if there are no older ones
//	-usage real   as metrics-server says; zero: every pod uses nothing; error: 503 for every request about pods
//
// It knows the pods of its own namespace only, with the rights of its own account: the API server has checked those of
// the client before it asks. GET /readyz is 200 after metrics-server has answered once.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	base    = "/apis/metrics.k8s.io/v1beta1"
	every   = 2 * time.Second
	// Numbers of one pod: those of more than ten minutes are never needed.
	most = 300
)

// list is a PodMetricsList. Everything but labels and usage stays as it is.
type list struct {
	Kind       string           `json:"kind"`
	APIVersion string           `json:"apiVersion"`
	Metadata   map[string]any   `json:"metadata"`
	Items      []map[string]any `json:"items"`
}

// sample has the numbers of one pod.
type sample struct {
	at   time.Time
	item map[string]any
}

type proxy struct {
	upstream  *url.URL
	namespace string
	delay     time.Duration
	age       time.Duration
	usage     string
	client    *http.Client
	forward   *httputil.ReverseProxy
	mutex     sync.Mutex
	// The last answer of metrics-server; nil before the first one.
	latest *list
	// By the name of the pod, the oldest first.
	samples map[string][]sample
}

// token is read again each time: kubelet renews it.
func token() string {
	text, err := os.ReadFile(account + "token")
	if err != nil {
		log.Fatalf("token: %v", err)
	}
	return strings.TrimSpace(string(text))
}

// poll asks metrics-server for the pods of the namespace, and keeps the answer.
func (proxy *proxy) poll() error {
	address := proxy.upstream.JoinPath(base, "namespaces", proxy.namespace, "pods").String()
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token())
	request.Header.Set("Accept", "application/json")
	response, err := proxy.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(body))
	}
	found, now := &list{}, time.Now()
	if err := json.Unmarshal(body, found); err != nil {
		return err
	}
	proxy.mutex.Lock()
	defer proxy.mutex.Unlock()
	proxy.latest = found
	for _, item := range found.Items {
		kept := append(proxy.samples[name(item)], sample{now, item})
		proxy.samples[name(item)] = kept[max(0, len(kept)-most):]
	}
	return nil
}

func name(item map[string]any) string {
	metadata, _ := item["metadata"].(map[string]any)
	found, _ := metadata["name"].(string)
	return found
}

// then returns the last answer of metrics-server with the numbers that each pod had before; nil before the first answer.
func (proxy *proxy) then() *list {
	proxy.mutex.Lock()
	defer proxy.mutex.Unlock()
	if proxy.latest == nil {
		return nil
	}
	answer := &list{proxy.latest.Kind, proxy.latest.APIVersion, proxy.latest.Metadata, []map[string]any{}}
	for _, item := range proxy.latest.Items {
		known := proxy.samples[name(item)]
		found := known[0]
		for _, each := range known {
			if time.Since(each.at) >= proxy.age {
				found = each
			}
		}
		answer.Items = append(answer.Items, found.item)
	}
	return answer
}

// matches returns whether an item has the labels of a selector such as app=shop,tier=web.
func matches(item map[string]any, selector string) bool {
	metadata, _ := item["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	for _, wanted := range strings.Split(selector, ",") {
		name, value, equal := strings.Cut(wanted, "=")
		if wanted != "" && (!equal || labels[name] != strings.TrimPrefix(value, "=")) {
			return false
		}
	}
	return true
}

// idle returns a copy of an item whose containers use nothing.
func idle(item map[string]any) map[string]any {
	copied := map[string]any{}
	for name, value := range item {
		copied[name] = value
	}
	containers, _ := item["containers"].([]any)
	unused := make([]any, 0, len(containers))
	for _, each := range containers {
		container, _ := each.(map[string]any)
		unused = append(unused, map[string]any{"name": container["name"], "usage": map[string]any{"cpu": "0", "memory": "0"}})
	}
	copied["containers"] = unused
	return copied
}

func (proxy *proxy) pods(response http.ResponseWriter, request *http.Request) {
	time.Sleep(proxy.delay)
	found := proxy.then()
	if proxy.usage == "error" || found == nil {
		http.Error(response, "the metrics of pods are unavailable", http.StatusServiceUnavailable)
		return
	}
	answer := list{found.Kind, found.APIVersion, found.Metadata, []map[string]any{}}
	for _, item := range found.Items {
		if !matches(item, request.FormValue("labelSelector")) {
			continue
		}
		if proxy.usage == "zero" {
			item = idle(item)
		}
		answer.Items = append(answer.Items, item)
	}
	response.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(response).Encode(answer); err != nil {
		log.Printf("answer: %v", err)
	}
}

func (proxy *proxy) ready(response http.ResponseWriter, _ *http.Request) {
	if proxy.then() == nil {
		http.Error(response, "metrics-server has not answered yet", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(response, "ok")
}

// pass lets metrics-server answer what is not about pods: what the API consists of, and its health.
func (proxy *proxy) pass(response http.ResponseWriter, request *http.Request) {
	time.Sleep(proxy.delay)
	request.Header.Set("Authorization", "Bearer "+token())
	for name := range request.Header {
		if strings.HasPrefix(name, "X-Remote-") {
			request.Header.Del(name)
		}
	}
	proxy.forward.ServeHTTP(response, request)
}

// certificate returns a self-signed one: the API server is told not to check it.
func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatalf("key: %v", err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		log.Fatalf("certificate: %v", err)
	}
	return tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: key}
}

func main() {
	address := flag.String("listen", ":8443", "address to serve on")
	upstream := flag.String("upstream", "https://metrics-server.kube-system.svc", "where metrics-server is")
	delay := flag.Duration("delay", 0, "how late each answer is")
	age := flag.Duration("age", 0, "how old the numbers are")
	usage := flag.String("usage", "real", "real, zero or error")
	flag.Parse()
	if *usage != "real" && *usage != "zero" && *usage != "error" {
		log.Fatalf("found -usage=%s, expected real, zero or error", *usage)
	}
	place, err := url.Parse(*upstream)
	if err != nil {
		log.Fatalf("-upstream: %v", err)
	}
	namespace, err := os.ReadFile(account + "namespace")
	if err != nil {
		log.Fatalf("namespace: %v", err)
	}
	// metrics-server signs its own certificate at its start.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	forward := httputil.NewSingleHostReverseProxy(place)
	forward.Transport = transport
	own := strings.TrimSpace(string(namespace))
	proxy := &proxy{
		upstream: place, namespace: own, delay: *delay, age: *age, usage: *usage, forward: forward, samples: map[string][]sample{},
		client: &http.Client{Transport: transport, Timeout: 5 * time.Second},
	}
	go func() {
		for ; ; time.Sleep(every) {
			if err := proxy.poll(); err != nil {
				log.Printf("metrics-server: %v", err)
			}
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc(base+"/namespaces/"+own+"/pods", proxy.pods)
	mux.HandleFunc("/readyz", proxy.ready)
	mux.HandleFunc("/", proxy.pass)
	server := &http.Server{
		Addr: *address, Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate()}},
	}
	log.Fatal(server.ListenAndServeTLS("", ""))
}
