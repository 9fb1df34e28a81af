{{/* Here the argument is the dict {root, component}; values of the component stand before those of all pods. */}}

{{- define "wi.deployment" -}}
{{- $own := index .root.Values .component -}}
replicas: {{ $own.replicas }}
revisionHistoryLimit: {{ if hasKey $own "revisionHistoryLimit" }}{{ $own.revisionHistoryLimit }}{{ else }}{{ .root.Values.revisionHistoryLimit }}{{ end }}
{{- with $own.strategy }}
strategy:
  {{- toYaml . | nindent 2 }}
{{- end }}
selector:
  matchLabels:
    {{- include "wi.selector" .component | nindent 4 }}
{{- end }}

{{/* Labels of pods; none of ours can be taken over: selectors need them. */}}
{{- define "wi.podLabels" -}}
{{- $own := index .root.Values .component -}}
{{- $ours := fromYaml (include "wi.labels" .root) -}}
{{- $_ := set $ours "app.kubernetes.io/component" .component -}}
{{- toYaml (merge $ours ($own.podLabels | default dict) .root.Values.podLabels) }}
{{- end }}

{{/* Annotations of pods. A change of the extra CA restarts those that read it once. */}}
{{- define "wi.podAnnotations" -}}
{{- $own := index .root.Values .component -}}
{{- $ours := dict -}}
{{- if ne .component "webhook" -}}
{{- $_ := set $ours "checksum/extra-ca" (sha256sum .root.Values.extraCA) -}}
{{- end -}}
{{- $all := merge $ours ($own.podAnnotations | default dict) .root.Values.podAnnotations -}}
{{- with $all -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What all pods of the operator have in common. */}}
{{- define "wi.pod" -}}
{{- $own := index .root.Values .component -}}
{{- with $own.priorityClassName | default .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
serviceAccountName: wi-{{ .component }}
enableServiceLinks: false
nodeSelector:
  {{- toYaml (merge (dict "kubernetes.io/os" "linux") ($own.nodeSelector | default dict) .root.Values.nodeSelector) | nindent 2 }}
{{- with $own.tolerations | default .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity | default .root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.topologySpreadConstraints | default .root.Values.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range . }}
- {{- toYaml . | nindent 2 }}
  {{- if not .labelSelector }}
  labelSelector:
    matchLabels:
      {{- include "wi.selector" $.component | nindent 6 }}
  {{- end }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- if .root.Values.uid }}
  runAsUser: {{ .root.Values.uid | int }}
  runAsGroup: {{ .root.Values.uid | int }}
  fsGroup: {{ .root.Values.uid | int }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{/* Likewise of all containers. */}}
{{- define "wi.container" -}}
image: {{ include "wi.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: [{{ .component }}]
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
livenessProbe:
  httpGet: {path: /livez, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
startupProbe:
  httpGet: {path: /livez, port: health}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 120
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 3
{{- end }}

{{/* Environment of every process. */}}
{{- define "wi.env" -}}
{{- $own := index .root.Values .component -}}
- name: WI_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
- name: WI_POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- name: WI_LOG_LEVEL
  value: {{ $own.logLevel | default .root.Values.logLevel | quote }}
- name: WI_PUBLIC_URL
  value: {{ .root.Values.issuer.url | quote }}
- name: WI_GRANTS_URL
  value: https://wi-issuer-grants.{{ .root.Release.Namespace }}.svc
- name: WI_GRANT_SECONDS
  value: {{ .root.Values.issuer.grantSeconds | int | quote }}
- name: WI_ALLOWED_HOSTS
  value: {{ .root.Values.hosts.azure | toJson | quote }}
{{- end }}

{{/* A name that stood twice would be refused by server-side apply. */}}
{{- define "wi.extraEnv" -}}
{{- $all := index .root.Values .component "extraEnv" | default list -}}
{{- $names := list -}}
{{- range $all }}{{ $names = append $names .name }}{{ end -}}
{{- range .root.Values.extraEnv -}}
{{- if not (has .name $names) }}{{ $all = append $all . }}{{ end -}}
{{- end -}}
{{- with $all }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- define "wi.extraVolumeMounts" -}}
{{- with concat .root.Values.extraVolumeMounts (index .root.Values .component "extraVolumeMounts" | default list) }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- define "wi.extraVolumes" -}}
{{- with concat .root.Values.extraVolumes (index .root.Values .component "extraVolumes" | default list) }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* From here on the argument is the root: of processes that call clouds, or pass the bundle on. */}}
{{- define "wi.extraCA.env" -}}
{{- if trim .Values.extraCA }}
- name: WI_EXTRA_CA_FILE
  value: /etc/wi/extra-ca/ca.crt
{{- end }}
{{- end }}

{{- define "wi.extraCA.mount" -}}
{{- if trim .Values.extraCA }}
- name: extra-ca
  mountPath: /etc/wi/extra-ca
  readOnly: true
{{- end }}
{{- end }}

{{- define "wi.extraCA.volume" -}}
{{- if trim .Values.extraCA }}
- name: extra-ca
  configMap:
    name: wi-extra-ca
{{- end }}
{{- end }}
