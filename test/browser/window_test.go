//go:build browser

package browser_test

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// window is a browser that has never been anywhere.
type window struct {
	ctx context.Context // chromedp keeps the browser in it
}

// The size of a window.
const width, height = 1200, 940

// open opens a browser. BROWSER is its program, chromium if not set.
func open(t *testing.T) *window {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(cmp.Or(os.Getenv("BROWSER"), "chromium")), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(width, height),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
	}
	for _, quiet := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage"} {
		options = append(options, chromedp.Flag(quiet, true))
	}
	ctx, closeAll := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(closeAll)
	ctx, closeWindow := chromedp.NewContext(ctx)
	t.Cleanup(closeWindow)
	w := &window{ctx}
	require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(width, height)), "no browser: BROWSER must be a Chromium")
	return w
}

// do does things one after the other, each of which waits for what it needs.
func (w *window) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.shot(t, "failed")
		require.NoError(t, err, "at %s", ask(t, w, chromedp.Location()))
	}
}

// ask asks for something that is there.
func ask[T any](t *testing.T, w *window, question chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, question)
	require.NoError(t, err)
	return answer
}

// text is what an element shows.
func (w *window) text(t *testing.T, element chromedp.CSS) string {
	t.Helper()
	return ask(t, w, chromedp.Text(element))
}

// stored is what the page keeps under a name.
func (w *window) stored(t *testing.T, name string) string {
	t.Helper()
	return ask(t, w, chromedp.Evaluate[string]("localStorage.getItem('"+name+"') ?? ''"))
}

// shot takes a picture into the directory BROWSER_SHOTS, if that is set.
func (w *window) shot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("BROWSER_SHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644))
}
