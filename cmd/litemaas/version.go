package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the linker: -ldflags "-X main.release=1.2.3".
var release string

// version is the release, else the commit this was built from, else "dev".
func version() string {
	info, _ := debug.ReadBuildInfo()
	return versionOf(release, info)
}

func versionOf(release string, info *debug.BuildInfo) string {
	if release != "" || info == nil {
		return cmp.Or(release, "dev")
	}
	vcs := map[string]string{}
	for _, s := range info.Settings {
		vcs[s.Key] = s.Value
	}
	commit := vcs["vcs.revision"]
	switch {
	case commit == "" && (info.Main.Version == "" || info.Main.Version == "(devel)"):
		return "dev"
	case commit == "":
		return info.Main.Version // `go install …@v1.2.3`
	case vcs["vcs.modified"] == "true":
		return "dev-" + commit[:min(12, len(commit))] + "-changed"
	}
	return "dev-" + commit[:min(12, len(commit))]
}

func versionCmd() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", GroupID: groupHelp, Args: cobra.NoArgs,
		Long: `Print the version, and what the program was built with. A build that is no release is
named after its commit.`,
		Example: "  litemaas version",
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "litemaas %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
