package devstack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The program is built anew when its sources, its dependencies or Go change, and only then.
func TestBuildKey(t *testing.T) {
	module := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(module, name), []byte(text), 0o600))
	}
	key := func(version string) string {
		key, err := buildKey(module, version)
		require.NoError(t, err)
		return key
	}
	write("go.mod", "module x\n")
	write("go.sum", "")
	write("main.go", "package main\n")
	first := key("go1.26.8")
	require.Equal(t, first, key("go1.26.8"))
	require.NotEqual(t, first, key("go1.26.9"))

	write("main_test.go", "package main\n")
	require.Equal(t, first, key("go1.26.8"), "a test is no part of the program")
	for _, name := range []string{"main.go", "go.mod", "go.sum", "page.html"} {
		before := key("go1.26.8")
		write(name, "// "+name)
		require.NotEqual(t, before, key("go1.26.8"), name)
	}
}

// The source tree is found from below it, and from anywhere by the program that was built in it.
func TestSourceTree(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	tree, ok := sourceTree()
	require.True(t, ok)
	require.Equal(t, filepath.Join(tree, "cmd", "internal", "devstack"), here)

	t.Chdir(t.TempDir())
	elsewhere, ok := sourceTree()
	require.True(t, ok)
	require.Equal(t, tree, elsewhere)
}

// What go build says is told as progress; what is no progress is the reason of a failure.
func TestFollow(t *testing.T) {
	var told []string
	said := follow(strings.NewReader(`go: downloading go.temporal.io/server v1.32.1
internal/goarch
go.temporal.io/server/common
# example.com/broken
./main.go:3:1: syntax error
`), 1785, func(s string) { told = append(told, s) })
	require.Equal(t, []string{
		"fetching go.temporal.io/server v1.32.1", "compiled 1 of at most 1785 packages", "compiled 2 of at most 1785 packages",
	}, told)
	require.Equal(t, "# example.com/broken\n./main.go:3:1: syntax error", said)
}
