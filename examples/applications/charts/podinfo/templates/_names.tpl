{{- define "podinfo.name" -}}
{{ printf "%s-podinfo" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "podinfo.labels" -}}
app.kubernetes.io/name: podinfo
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
