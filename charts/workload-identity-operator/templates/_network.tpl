{{/* A rule of a NetworkPolicy. The argument is the dict {what, peers, port}; no peers: everybody. */}}
{{- define "wi.from" -}}
# {{ .what }}
- ports:
  - {port: {{ .port }}}
  {{- with .peers }}
  from:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The argument is the dict {what, peers, ports, udp}; no peers: anywhere. */}}
{{- define "wi.to" -}}
# {{ .what }}
- ports:
  {{- range .ports }}
  - {port: {{ . | int }}}
  {{- if $.udp }}
  - {port: {{ . | int }}, protocol: UDP}
  {{- end }}
  {{- end }}
  {{- with .peers }}
  to:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Ports of clouds, as a JSON list: the usual one, those of further hosts, the proxy's. The argument is the dict {root, proxy}. */}}
{{- define "wi.cloudPorts" -}}
{{- $ports := .root.Values.networkPolicy.clouds.ports -}}
{{- range .root.Values.hosts.azure -}}
{{- if contains ":" . -}}{{- $ports = append $ports (regexFind "[0-9]+$" . | int) -}}{{- end -}}
{{- end -}}
{{- with .proxy.https -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" | default "80" | int) -}}
{{- end -}}
{{- $unique := list -}}
{{- range $ports -}}{{- $unique = append $unique (int .) -}}{{- end -}}
{{- uniq $unique | toJson -}}
{{- end }}

{{/* What a tenant who restricts egress has to allow to pods with a sidecar; a whole NetworkPolicy. */}}
{{- define "wi.tenantPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: workload-identity
spec:
  podSelector:
    matchLabels:
      identity.crewai.com/inject: "true"
  policyTypes: [Egress]
  egress:
  # issuer: grants
  - to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .Release.Namespace }}
      podSelector:
        matchLabels:
          {{- include "wi.selector" "issuer" | nindent 10 }}
    ports:
    - {port: 8443}
  {{- include "wi.to" (dict "what" "DNS" "peers" .Values.networkPolicy.dns.to "ports" .Values.networkPolicy.dns.ports "udp" true) | nindent 2 }}
  {{- include "wi.to" (dict "what" (ternary "the proxy, and what needs none" "clouds" (ne .Values.sidecar.proxy.https "")) "ports" (include "wi.cloudPorts" (dict "root" . "proxy" .Values.sidecar.proxy) | fromJsonArray)) | nindent 2 }}
{{- end }}
