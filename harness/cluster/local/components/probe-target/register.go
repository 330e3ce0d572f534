package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Where kubelet puts the credentials of a pod's ServiceAccount.
const account = "/var/run/secrets/kubernetes.io/serviceaccount"

// pod has the fields that registration reads.
type pod struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Status struct {
		PodIP      string `json:"podIP"`
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

func (pod *pod) has(condition string) bool {
	for _, found := range pod.Status.Conditions {
		if found.Type == condition && found.Status == "True" {
			return true
		}
	}
	return false
}

// server is the API server, as a pod reaches it.
type server struct {
	url    string
	token  string
	client *http.Client
}

func newServer() (*server, error) {
	token, err := os.ReadFile(filepath.Join(account, "token"))
	if err != nil {
		return nil, err
	}
	namespace, err := os.ReadFile(filepath.Join(account, "namespace"))
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	host := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	return &server{
		url:    fmt.Sprintf("https://%s/api/v1/namespaces/%s/pods", host, namespace),
		token:  string(token),
		client: &http.Client{Transport: transport, Timeout: 10 * time.Second},
	}, nil
}

func (server *server) send(method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequest(method, server.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+server.token)
	request.Header.Set("Content-Type", "application/strategic-merge-patch+json")
	return answered(server.client.Do(request))
}

// answered returns the body of an answer; any status but 2xx is an error.
func answered(response *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	return text, err
}

func (server *server) pods(selector string) ([]pod, error) {
	text, err := server.send(http.MethodGet, "?labelSelector="+url.QueryEscape(selector), nil)
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []pod `json:"items"`
	}
	return list.Items, json.Unmarshal(text, &list)
}

// register sets the switch "readiness" of one pod to ok, and then the condition in its status.
func (server *server) register(pod *pod, condition string) error {
	address := "http://" + net.JoinHostPort(pod.Status.PodIP, "8081") + "/switch/readiness?to=ok"
	if _, err := answered(server.client.Post(address, "", nil)); err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []any{map[string]string{
		"type": condition, "status": "True", "lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
	}}}})
	if err != nil {
		return err
	}
	_, err = server.send(http.MethodPatch, "/"+pod.Metadata.Name+"/status", patch)
	return err
}

// registered registers pods until there are so many. An attempt that fails is repeated, since pods may still start.
func registered(selector, condition string, wanted int) error {
	server, err := newServer()
	if err != nil {
		return err
	}
	for done := 0; done < wanted; time.Sleep(200 * time.Millisecond) {
		pods, err := server.pods(selector)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		done = 0
		for index := range pods {
			each := &pods[index]
			if each.Status.PodIP == "" {
				continue
			}
			if !each.has(condition) {
				if err := server.register(each, condition); err != nil {
					fmt.Fprintln(os.Stderr, each.Metadata.Name, err)
					continue
				}
			}
			done++
		}
	}
	return nil
}
