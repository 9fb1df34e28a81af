{{- define "wi.labels" -}}
app.kubernetes.io/name: workload-identity-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: workload-identity-operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
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

{{/* What all pods of the operator have in common; the argument is the dict {root, component}. */}}
{{- define "wi.pod" -}}
{{- with .root.Values.priorityClassName }}
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
  kubernetes.io/os: linux
{{- with .root.Values.nodeSelector }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "wi.selector" $.component | nindent 6 }}
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
image: {{ .root.Values.image.ref | quote }}
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

{{/* Environment of every process; the argument is the root. */}}
{{- define "wi.env" -}}
- name: WI_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
- name: WI_POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- name: WI_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
- name: WI_PUBLIC_URL
  value: {{ .Values.issuer.url | quote }}
- name: WI_GRANTS_URL
  value: https://wi-issuer-grants.{{ .Release.Namespace }}.svc
- name: WI_GRANT_SECONDS
  value: {{ .Values.issuer.grantSeconds | int | quote }}
- name: WI_ALLOWED_HOSTS
  value: {{ .Values.hosts.azure | toJson | quote }}
{{- end }}

{{/* The same for the variables of processes that call clouds, or pass the bundle on. */}}
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

{{/* A change of the extra CA restarts the pods that read it once. */}}
{{- define "wi.extraCA.annotation" -}}
checksum/extra-ca: {{ sha256sum .Values.extraCA }}
{{- end }}
