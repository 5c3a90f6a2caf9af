package devstack

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// Progress tells a person what takes long. On a terminal that is one line, drawn again and
// again; elsewhere a line when something turns out to take long, and one now and then.
type Progress struct {
	out      io.Writer
	terminal bool
}

// NewProgress writes to out.
func NewProgress(out io.Writer) *Progress {
	p := &Progress{out: out}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	}
	return p
}

// worthTelling is how long something takes that deserves a line.
const worthTelling = 2 * time.Second

// During does something and tells of it; what is a phrase such as "Fetching PostgreSQL". What
// do says is shown behind it.
func (p *Progress) During(what string, do func(say func(detail string)) error) error {
	var detail atomic.Pointer[string]
	start, done, told := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(told)
		p.tell(what, start, &detail, done)
	}()
	err := do(func(s string) { detail.Store(&s) })
	close(done)
	<-told
	took := time.Since(start)
	if p.terminal {
		fmt.Fprint(p.out, clearLine)
	}
	if err == nil && took >= worthTelling {
		fmt.Fprintf(p.out, "%s: done in %s\n", what, brief(took))
	}
	return err
}

const clearLine = "\r\x1b[K"

// tell draws until done.
func (p *Progress) tell(what string, start time.Time, detail *atomic.Pointer[string], done <-chan struct{}) {
	pause := worthTelling
	if p.terminal {
		pause = 200 * time.Millisecond
	}
	for {
		select {
		case <-done:
			return
		case <-time.After(pause):
		}
		line := what
		if s := detail.Load(); s != nil && *s != "" {
			line += ": " + *s
		}
		took := brief(time.Since(start))
		if p.terminal { // one that wraps could not be drawn over
			fmt.Fprintf(p.out, "%s%.*s, %s", clearLine, 76-len(took), line, took)
			continue
		}
		fmt.Fprintf(p.out, "%s, %s\n", line, took)
		pause = 20 * time.Second
	}
}

// brief is a time as a person would say it.
func brief(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	d = d.Round(time.Second)
	if d < time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}
