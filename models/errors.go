package models

import (
	"errors"
	"fmt"
	"time"
)

// Kind sorts every failure into the few classes the system reacts to. The same word
// becomes an HTTP status in api, an ApplicationError type in Temporal and a retry
// decision on the worker.
type Kind string

// The kinds of failure.
const (
	Invalid         Kind = "invalid"         // the request must change
	Unauthenticated Kind = "unauthenticated" // the caller is nobody we know
	Forbidden       Kind = "forbidden"       // the caller may not
	NotFound        Kind = "not_found"       // the thing named does not exist, for this caller
	Conflict        Kind = "conflict"        // the current state forbids it
	Limited         Kind = "limited"         // too many, or too much
	Pending         Kind = "pending"         // accepted and under way; not a failure
	Unavailable     Kind = "unavailable"     // a dependency is down; try later
	Internal        Kind = "internal"        // a bug, or a failure we cannot name
)

// Retryable reports whether the same call may succeed later.
func (k Kind) Retryable() bool { return k == Unavailable || k == Internal }

// Known reports whether k is one of the declared kinds.
func (k Kind) Known() bool {
	switch k {
	case Invalid, Unauthenticated, Forbidden, NotFound, Conflict, Limited, Pending, Unavailable, Internal:
		return true
	}
	return false
}

// Error is a failure with a kind. Message may be shown to the caller; Err may not.
type Error struct {
	Kind    Kind
	Message string
	Field   string // the part of the request to blame, as the caller wrote it
	Err     error

	RetryAfter time.Duration // when the same call may succeed; 0: not known
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// On blames a field of the request.
func (e *Error) On(field string) *Error { e.Field = field; return e }

// Errorf returns an Error of the given kind.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an Error of the given kind, caused by err.
func Wrap(kind Kind, err error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Err: err}
}

// KindOf returns the kind of the outermost Error in err's chain, else Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
