{{- define "rollout.account" -}}
{{ .Values.serviceAccount.name | default "rollout-controller" }}
{{- end }}

{{- /* Older servers know no admission policies; there the controller says what is lacking. */ -}}
{{- define "rollout.hasIdentity" -}}
{{- if and .Values.identity.enabled (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) }}true{{ end }}
{{- end }}

{{- define "rollout.identity" -}}
{{- if eq .Release.Namespace "rollout-system" }}rollout-identity{{ else }}rollout-identity-{{ .Release.Namespace }}{{ end }}
{{- end }}

{{- define "rollout.identityAccount" -}}
{{- if .Values.identity.account }}{{ .Values.identity.account }}{{ else }}system:serviceaccount:{{ .Release.Namespace }}:{{ include "rollout.account" . }}{{ end }}
{{- end }}

{{- define "rollout.labels" -}}
app.kubernetes.io/name: rollout-controller
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* What belongs to the whole cluster carries the namespace, so that two releases can live side by side. */ -}}
{{- define "rollout.clusterName" -}}
{{- if eq .Release.Namespace "rollout-system" }}rollout-controller{{ else }}rollout-controller-{{ .Release.Namespace }}{{ end }}
{{- end }}
