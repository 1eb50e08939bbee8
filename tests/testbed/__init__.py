"""Real servers for the tests: etcd, kube-apiserver, istiod and helm, built and started."""
