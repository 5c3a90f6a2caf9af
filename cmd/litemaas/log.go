package main

import (
	"io"
	"log/slog"
)

// newLogger writes to w what cfg asks for.
func newLogger(w io.Writer, cfg logConfig) *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(cfg.Level)) != nil { // a config that was not loaded
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
