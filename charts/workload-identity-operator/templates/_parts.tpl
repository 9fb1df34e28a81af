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

{{/* Holds the webhook's certificate. Not the same one for both: cert-manager and the controller would overwrite each other. */}}
{{- define "wi.webhookSecret" -}}
{{ ternary "wi-webhook-cert-manager" "wi-webhook-tls" .Values.webhook.certManager.enabled }}
{{- end }}

{{- define "wi.webhookAnnotations" -}}
{{- $ours := dict -}}
{{- if .Values.webhook.certManager.enabled -}}
{{- $_ := set $ours "cert-manager.io/inject-ca-from" (printf "%s/wi-webhook" .Release.Namespace) -}}
{{- end -}}
{{- with merge $ours .Values.webhook.annotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What the schema cannot see: values that contradict each other. */}}
{{- define "wi.check" -}}
{{- with .Values.issuer -}}
{{- if and (or .ingress.enabled .gateway.enabled) (not .url) -}}
{{- fail "issuer.ingress and issuer.gateway need issuer.url: host and path come from it" -}}
{{- end -}}
{{- if and .gateway.enabled (not .gateway.parentRefs) -}}
{{- fail "issuer.gateway.parentRefs names the Gateway that ends TLS for the issuer" -}}
{{- end -}}
{{- if lt (.rotation.retireAfterSeconds | int) (.grantSeconds | int) -}}
{{- fail "issuer.rotation.retireAfterSeconds must be at least issuer.grantSeconds: tokens would outlive their key" -}}
{{- end -}}
{{- end -}}
{{- range $component := list "controller" "issuer" "webhook" -}}
{{- $own := index $.Values $component -}}
{{- if and (eq ($own.strategy.type | default "") "Recreate") $own.strategy.rollingUpdate -}}
{{- fail (printf "%s.strategy.type Recreate goes only with %s.strategy.rollingUpdate null" $component $component) -}}
{{- end -}}
{{- end -}}
{{- end }}
