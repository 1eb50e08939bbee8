// Command controlplane is etcd, kube-apiserver and kube-controller-manager in one program.
//
// Which of them it is, the name it was called by says, or else its first argument. They share
// most of their libraries: one program is linked once and is half the size of three.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

var commands = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": manager.NewControllerManagerCommand,
}

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name == "controlplane" && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if name == "etcd" {
		// The flags of etcd itself, --unsafe-no-fsync among them.
		etcdmain.Main(append([]string{name}, args...))
		return
	}
	if command, isKnown := commands[name]; isKnown {
		os.Args = append([]string{name}, args...)
		os.Exit(cli.Run(command()))
	}
	fmt.Fprintln(os.Stderr, "usage: controlplane etcd|kube-apiserver|kube-controller-manager [flag ...]")
	os.Exit(2)
}
