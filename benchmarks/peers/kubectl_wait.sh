#!/bin/sh
# The plain loop that people write: kubectl_wait.sh KUBECTL KUBECONFIG NAMESPACE NAME SECONDS
wait_for() { "$kubectl" --kubeconfig="$config" -n "$namespace" wait --for="condition=Available=$1" --timeout="${seconds}s" "deployment/$name" >/dev/null; }
kubectl=$1 config=$2 namespace=$3 name=$4 seconds=$5
echo ready
wait_for false && began=$(date +%s.%N) && wait_for true && ended=$(date +%s.%N)
if [ -n "$ended" ]; then echo "{\"Deployment\": {\"began\": $began, \"ended\": $ended}}"; else echo '{"Deployment": null}'; fi
