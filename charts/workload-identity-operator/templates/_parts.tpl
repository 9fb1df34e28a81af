{{- define "wi.labels" -}}
app.kubernetes.io/name: workload-identity-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: workload-identity-operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- include "wi.commonLabels" . }}
{{- end }}

{{/* Lines of further labels, none of ours. */}}
{{- define "wi.commonLabels" -}}
{{- range $name, $value := .Values.commonLabels }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* Of a Deployment, its pods and its Service; the argument is the component. */}}
{{- define "wi.selector" -}}
app.kubernetes.io/name: workload-identity-operator
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* Fails early: an installation elsewhere would look right and never work. */}}
{{- define "wi.namespace" -}}
{{- if ne .Release.Namespace "wi-system" -}}
{{- fail (printf "install this chart into the namespace wi-system, not %s: helm upgrade --install … --namespace wi-system --create-namespace" .Release.Namespace) -}}
{{- end -}}
wi-system
{{- end }}

{{/* The operator's image, also that of sidecars. */}}
{{- define "wi.image" -}}
{{- with .Values.image -}}
{{- if .ref -}}{{ .ref }}
{{- else if .digest -}}{{ .repository }}@{{ .digest }}
{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{/* Of the custom resource definitions: what Helm must not delete with the release, every object of these kinds would go with it. */}}
{{- define "wi.crdAnnotations" -}}
{{- $ours := dict -}}
{{- if .Values.crds.keep -}}
{{- $_ := set $ours "helm.sh/resource-policy" "keep" -}}
{{- end -}}
{{- with merge $ours .Values.crds.annotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
