"""Every documented combination of the chart's values, by name: ``BASE`` and these over it."""

from wi_testkit.pki import CertificateAuthority

URL = "https://identity.example.com"
BASE = {"image": {"repository": "registry.example.com/workload-identity-operator"}}
DIGEST = "sha256:" + "a1" * 32
CASES = {
    "default": {},
    "issuer-url": {"issuer": {"url": URL}},
    "image-by-digest": {"image": {"digest": DIGEST, "pullPolicy": "Always", "pullSecrets": ["registry"]}},
    "image-by-reference": {"image": {"repository": "", "ref": f"registry.example.com/wi@{DIGEST}"}},
    "own-keys": {"issuer": {"url": URL, "ownKeys": {"secretName": "our-keys", "entry": "key.pem"}}},
    "rotation-on-demand": {"issuer": {"url": URL, "rotation": {"everySeconds": 0}, "grantSeconds": 7200}},
    "ingress": {
        "issuer": {
            "url": f"{URL}/tenants/one",
            "ingress": {
                "enabled": True,
                "className": "nginx",
                "annotations": {"cert-manager.io/cluster-issuer": "public"},
                "tlsSecretName": "issuer-public",
            },
        }
    },
    "gateway": {"issuer": {"url": URL, "gateway": {"enabled": True, "parentRefs": [{"name": "public"}]}}},
    "public-tls": {"issuer": {"url": URL, "publicTls": {"secretName": "issuer-public"}}},
    "cert-manager": {"webhook": {"certManager": {"enabled": True}}},
    "cert-manager-issuer": {
        "webhook": {"certManager": {"enabled": True, "issuerRef": {"name": "internal", "kind": "ClusterIssuer"}}}
    },
    "envfile": {"injection": {"envfile": {"enabled": True}}},
    "proxy": {
        "sidecar": {"proxy": {"https": "http://proxy.example.com:3128", "noProxy": ".internal.example.com"}},
        "controller": {"proxy": {"https": "http://proxy.example.com:3128", "noProxy": ".internal.example.com"}},
        "networkPolicy": {"enabled": True},
    },
    "openshift": {"uid": None, "sidecar": {"uid": None}},
    "host-network": {
        "webhook": {
            "hostNetwork": {"enabled": True, "port": 10260, "healthPort": 10261},
            "strategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
        }
    },
    "network-policy": {"networkPolicy": {"enabled": True}},
    "network-policy-narrow": {
        "hosts": {"azure": ["vault.example.com:8443"]},
        "networkPolicy": {
            "enabled": True,
            "public": {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]},
            "grants": {"from": [{"namespaceSelector": {"matchLabels": {"crews": "true"}}}]},
            "metrics": {
                "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
            },
            "admission": {"from": [{"ipBlock": {"cidr": "10.0.0.0/28"}}]},
            "apiServer": {"to": [{"ipBlock": {"cidr": "10.0.0.0/28"}}], "ports": [6443]},
            "dns": {"to": [{"namespaceSelector": {}}], "ports": [53, 5353]},
            "clouds": {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]},
            "extraEgress": {"controller": [{"ports": [{"port": 8443}]}]},
        },
    },
    "another-cloud": {
        "hosts": {"azure": ["login.example.com", "*.vault.example.com:8443"]},
        "extraCA": CertificateAuthority("an authority of a test").pem.decode(),
    },
    "definitions-apart": {"crds": {"create": False}},
    "definitions-go-with-the-release": {"crds": {"keep": False, "annotations": {"example.com/owner": "platform"}}},
    "no-aggregation": {"rbac": {"aggregateToView": False}},
    "common-labels": {"commonLabels": {"example.com/team": "platform", "cost": "42"}},
    "scheduling": {
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "workload-identity-operator"}},
                        },
                    }
                ]
            }
        },
        "revisionHistoryLimit": 0,
        "controller": {"replicas": 1, "podDisruptionBudget": {"enabled": False}},
        "issuer": {"replicas": 3, "podDisruptionBudget": {"minAvailable": 2}, "nodeSelector": {"pool": "edge"}},
        "webhook": {
            "topologySpreadConstraints": [
                {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"},
            ],
            "strategy": {"type": "Recreate", "rollingUpdate": None},
        },
    },
    "no-spread": {"topologySpreadConstraints": []},
    "extras": {
        "podLabels": {"azure.workload.identity/use": "false"},
        "podAnnotations": {"prometheus.io/scrape": "true"},
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "issuer": {
            "podLabels": {"tier": "edge"},
            "podAnnotations": {"prometheus.io/scrape": "false"},
            "extraEnv": [{"name": "TZ", "value": "CET"}, {"name": "LANG", "value": "C.UTF-8"}],
            "serviceAccount": {"annotations": {"example.com/role": "issuer"}},
        },
        "extraObjects": [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "of-{{ .Release.Name }}", "namespace": "{{ .Release.Namespace }}"},
                "data": {"url": "{{ .Values.issuer.url }}"},
            },
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: text\n  namespace: {{ .Release.Namespace }}\n",
        ],
    },
    "webhook": {
        "webhook": {
            "timeoutSeconds": 10,
            "namespaceSelector": {
                "matchLabels": {"crews": "true"},
                "matchExpressions": [{"key": "stage", "operator": "In", "values": ["prod"]}],
            },
            "annotations": {"admissions.enforcer/disabled": "true"},
        }
    },
    "monitoring": {
        "monitoring": {
            "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "prometheusRule": {"enabled": True, "alertLabels": {"team": "platform"}},
            "grafanaDashboard": {"enabled": True, "annotations": {"grafana_folder": "Identity"}},
        }
    },
    "service-monitor": {"monitoring": {"serviceMonitor": {"enabled": True, "interval": "15s"}}},
    "times": {
        "logLevel": "WARNING",
        "issuer": {"drainSeconds": 15, "logLevel": "DEBUG", "rates": {"pod": 0.5}},
        "webhook": {"drainSeconds": 0.5},
        "controller": {"recheckSeconds": 60, "auditSeconds": 30},
        "sidecar": {"logLevel": "ERROR", "timeouts": {"connect": 0.5, "read": 3, "kickoff": 30}},
    },
}
"""Fields of ``values.yaml`` that stand in no case stand in its documentation only."""
