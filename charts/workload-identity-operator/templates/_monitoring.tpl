{{/* Where /metrics, /livez and /readyz are: the name of the containers' port, and its number for network policies. */}}
{{- define "wi.metrics.port" -}}health{{- end }}
{{- define "wi.metrics.portNumber" -}}8081{{- end }}

{{/* Of a PodMonitor or ServiceMonitor; the argument is its block of values. */}}
{{- define "wi.metrics.endpoint" -}}
- port: {{ include "wi.metrics.port" . }}
  path: /metrics
  interval: {{ .interval }}
  scrapeTimeout: {{ .scrapeTimeout }}
  {{- with .relabelings }}
  relabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Labels of a monitoring object; the argument is the dict {root, labels}. */}}
{{- define "wi.metrics.labels" -}}
{{- toYaml (merge (fromYaml (include "wi.labels" .root)) .labels) }}
{{- end }}
