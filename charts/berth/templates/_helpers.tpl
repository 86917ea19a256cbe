{{- define "berth.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "berth.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "berth.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "berth.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "berth.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "berth.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "berth.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The speaker's resources. Each BGP peer has an ExaBGP of its own, so a memory limit that is not given follows them. */}}
{{- define "berth.speakerResources" -}}
{{- with .Values.speaker.resources -}}
{{- $resources := deepCopy . -}}
{{- if and (hasKey (default dict $resources.limits) "memory") (not $resources.limits.memory) -}}
{{- $more := max 0 (sub (int $.Values.speaker.bgp.peersPerNode) 20) -}}
{{- $_ := set $resources.limits "memory" (printf "%dMi" (add 512 (mul 20 $more))) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
{{- end -}}

{{/* What selects pods: never changes for a release, since selectors of workloads can't. Takes root and component. */}}
{{- define "berth.selector" -}}
app.kubernetes.io/name: {{ include "berth.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* metadata of a component's object. Takes root, component, and optionally cluster: true or account: true. */}}
{{- define "berth.metadata" -}}
name: {{ if .account }}{{ include "berth.account" . }}{{ else }}{{ include "berth.fullname" .root }}-{{ .component }}{{ end }}
{{- if not .cluster }}
namespace: {{ .root.Release.Namespace }}
{{- end }}
labels:
  {{- include "berth.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* A binding's role and its one subject. Takes root, component and kind. */}}
{{- define "berth.binding" -}}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ include "berth.fullname" .root }}-{{ .component }}
subjects:
  - kind: ServiceAccount
    name: {{ include "berth.account" . }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}

{{/* The name of a component's service account. Takes root and component. */}}
{{- define "berth.account" -}}
{{- $values := index .root.Values .component -}}
{{- $values.serviceAccount.name | default (printf "%s-%s" (include "berth.fullname" .root) .component) -}}
{{- end -}}

{{/* metadata of a component's pods. Takes root and component. */}}
{{- define "berth.podMetadata" -}}
{{- $values := index .root.Values .component -}}
labels:
  {{- include "berth.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  {{- with $values.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) $values.podAnnotations .root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What a component's values say of its pods, but for security, containers, volumes and affinity. */}}
{{- define "berth.podSpec" -}}
{{- $values := index .root.Values .component -}}
serviceAccountName: {{ include "berth.account" . }}
terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $name := list "dnsConfig" "hostAliases" "nodeSelector" "tolerations" "topologySpreadConstraints" }}
{{- with index $values $name }}
{{ $name }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The three probes. Takes root, component and host (empty: the pod's address). */}}
{{- define "berth.probes" -}}
{{- $values := index .root.Values .component -}}
{{- $host := .host -}}
{{- $port := ternary "health" "metrics" .root.Values.metrics.secure -}}
{{- $paths := dict "startupProbe" "/healthz" "livenessProbe" "/healthz" "readinessProbe" "/readyz" -}}
{{- range $name, $path := $paths }}
{{- $probe := index $values $name }}
{{- if $probe.enabled }}
{{ $name }}:
  httpGet: {path: {{ $path }}, port: {{ $port }}{{ with $host }}, host: {{ . | quote }}{{ end }}}
  {{- toYaml (omit $probe "enabled") | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Subjects of a binding. Takes root and subjects, as the values have them. */}}
{{- define "berth.subjects" -}}
{{- range .subjects }}
- kind: {{ .kind }}
  name: {{ .name | quote }}
  {{- if eq .kind "ServiceAccount" }}
  namespace: {{ .namespace | default $.root.Release.Namespace }}
  {{- else }}
  apiGroup: rbac.authorization.k8s.io
  {{- end }}
{{- end }}
{{- end -}}

{{/* The arguments of a program for its metrics. Takes root, component, and the address of the health where secure. */}}
{{- define "berth.listenArguments" -}}
{{- $values := index .root.Values .component -}}
{{- $secure := .root.Values.metrics.secure -}}
{{- $address := $values.metrics.address | default (ternary "0.0.0.0" "127.0.0.1" $secure) -}}
- {{ printf "--metrics-listen=%s" (include "berth.listen" (dict "address" $address "port" $values.metrics.port)) | quote }}
{{- if $secure }}
- --metrics-secure
- {{ printf "--health-listen=%s" (include "berth.listen" (dict "address" .health "port" $values.health.port)) | quote }}
{{- if .root.Values.metrics.existingSecret }}
- --metrics-certificate-dir=/etc/berth/metrics
{{- end }}
{{- end }}
{{- end -}}

{{/* The port of the health, where it is not that of the metrics. Takes root and component. */}}
{{- define "berth.healthPort" -}}
{{- if .root.Values.metrics.secure }}
- {name: health, containerPort: {{ (index .root.Values .component).health.port }}, protocol: TCP}
{{- end }}
{{- end -}}

{{/* The certificate of the metrics, as a volume and where it is mounted. Each is a text, or nothing. */}}
{{- define "berth.certificateVolume" -}}
{{- if and .Values.metrics.secure .Values.metrics.existingSecret }}
- name: metrics
  secret:
    secretName: {{ .Values.metrics.existingSecret }}
    defaultMode: 0444
    # Without it the program works; only its metrics can't be read.
    optional: true
{{- end }}
{{- end -}}
{{- define "berth.certificateMount" -}}
{{- if and .Values.metrics.secure .Values.metrics.existingSecret }}
- {name: metrics, mountPath: /etc/berth/metrics, readOnly: true}
{{- end }}
{{- end -}}

{{/* What a program must be allowed in order to ask who reads its metrics. */}}
{{- define "berth.reviewRules" -}}
{{- if .Values.metrics.secure }}
# Whose token comes with a request for metrics, and whether that user may read them.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}
{{- end -}}

{{/* A component's log level. Takes root and component. */}}
{{- define "berth.logLevel" -}}
{{- (index .root.Values .component).logLevel | default .root.Values.log.level -}}
{{- end -}}

{{/* A security context of ours with the operator's laid over it. Takes ours (a text) and theirs. */}}
{{- define "berth.over" -}}
{{- toYaml (mustMergeOverwrite (fromYaml .ours) (deepCopy .theirs)) -}}
{{- end -}}

{{/* The Secret with the keys of the heartbeats. */}}
{{- define "berth.heartbeatSecret" -}}
{{- .Values.speaker.heartbeat.existingSecret | default (printf "%s-heartbeat" (include "berth.fullname" .)) -}}
{{- end -}}

{{/* Whether the allocator makes that Secret when it is missing: a text, or nothing. */}}
{{- define "berth.makesHeartbeatSecret" -}}
{{- if and .Values.speaker.enabled .Values.speaker.heartbeat.enabled (not .Values.speaker.heartbeat.existingSecret) }}yes{{ end -}}
{{- end -}}

{{/* What speakers may: kernelAnswers: auto lets them put programs into the kernel (BPF) and onto interfaces (NET_ADMIN). */}}
{{- define "berth.speakerCapabilities" -}}
{{- $kernelAnswers := eq (toString .Values.speaker.kernelAnswers) "auto" -}}
[NET_RAW, NET_BIND_SERVICE
{{- if or .Values.speaker.bgp.blackholeRoutes $kernelAnswers }}, NET_ADMIN{{ end }}
{{- if $kernelAnswers }}, BPF{{ end }}
{{- if .Values.speaker.realTime }}, SYS_NICE{{ end }}]
{{- end -}}

{{/* An address and a port as one text; IPv6 addresses in brackets. */}}
{{- define "berth.listen" -}}
{{- if contains ":" .address -}}[{{ .address }}]{{- else -}}{{ .address }}{{- end -}}:{{ .port }}
{{- end -}}

{{/* The spec of a pod that runs the command `berth` once, with the allocator's rights. Takes root and arguments. */}}
{{- define "berth.commandPod" -}}
{{- $allocator := .root.Values.allocator -}}
restartPolicy: Never
serviceAccountName: {{ include "berth.account" (dict "root" .root "component" "allocator") }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $name := list "nodeSelector" "tolerations" }}
{{- with index $allocator $name }}
{{ $name }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
securityContext:
  {{- include "berth.over" (dict "ours" (include "berth.nobody" .) "theirs" $allocator.podSecurityContext) | nindent 2 }}
containers:
  - name: berth
    image: {{ include "berth.image" .root | quote }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command: [python, -m, cli]
    args:
      {{- range .arguments }}
      - {{ . }}
      {{- end }}
      - {{ printf "--berth-namespace=%s" .root.Release.Namespace }}
    securityContext:
      {{- include "berth.over" (dict "ours" (include "berth.confined" .) "theirs" $allocator.securityContext) | nindent 6 }}
{{- end -}}

{{- define "berth.nobody" -}}
{runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
{{- end -}}

{{- define "berth.confined" -}}
{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end -}}
