{{- define "schedule.name" -}}
resilience-{{ required "name is missing: the name of the schedule" .Values.name }}
{{- end }}

{{- define "schedule.labels" -}}
app.kubernetes.io/managed-by: resilience-harness
resilience.harness/schedule: {{ .Values.name | quote }}
{{- end }}

{{- define "schedule.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "schedule.subject" -}}
- kind: ServiceAccount
  name: {{ include "schedule.name" . }}
  namespace: resilience-system
{{- end }}

{{- define "schedule.configMap" -}}
{{- if not (or .Values.source.git .Values.source.folder) }}yes{{ end }}
{{- end }}

{{- define "schedule.port" -}}
{{- if contains "://" . }}
{{- $url := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" }}
{{- $port | default (get (dict "https" "443" "http" "80" "ssh" "22") $url.scheme) }}
{{- else }}22{{ end }}
{{- end }}
