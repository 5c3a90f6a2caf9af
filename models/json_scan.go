package models

import "bytes"

// jsonScanner finds the values in a JSON text without reading them, so that what nobody asks for
// costs next to nothing. It finds whatever encoding/json does; what it passes over may be wrong.
type jsonScanner struct {
	text []byte
	at   int
}

// peek is the byte that the next value, or the end of this one, begins with; 0: there is none.
func (s *jsonScanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\n', '\t', '\r':
		default:
			return c
		}
	}
	return 0
}

// take passes over c, if it is next.
func (s *jsonScanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

// value passes over the next value, and returns it as it is written; nil: there is none.
func (s *jsonScanner) value() []byte {
	next := s.peek()
	begin, whole := s.at, true
	switch next {
	case '"':
		whole = s.skipString()
	case '{', '[':
		whole = s.skipNested()
	default:
		s.skipLiteral()
	}
	if !whole || s.at == begin {
		return nil
	}
	return s.text[begin:s.at]
}

// skipString passes over a string. A quote ends it that an even number of backslashes precedes.
func (s *jsonScanner) skipString() bool {
	for from := s.at + 1; ; {
		n := bytes.IndexByte(s.text[from:], '"')
		if n < 0 {
			return false
		}
		quote := from + n
		back := quote
		for s.text[back-1] == '\\' {
			back--
		}
		if from = quote + 1; (quote-back)%2 == 0 {
			s.at = from
			return true
		}
	}
}

// nests are the bytes that an object or an array is followed by.
var nests = [256]bool{'"': true, '{': true, '}': true, '[': true, ']': true}

// skipNested passes over an object or an array with all that is in it.
func (s *jsonScanner) skipNested() bool {
	depth := 0
	for i, text := s.at, s.text; i < len(text); i++ {
		if !nests[text[i]] {
			continue
		}
		switch text[i] {
		case '"':
			s.at = i
			if !s.skipString() {
				return false
			}
			i = s.at - 1
		case '{', '[':
			depth++
		default:
			if depth--; depth == 0 {
				s.at = i + 1
				return true
			}
		}
	}
	return false
}

// skipLiteral passes over a number, true, false or null; and over NaN, which Python writes.
func (s *jsonScanner) skipLiteral() {
	for ; s.at < len(s.text); s.at++ {
		c := s.text[s.at]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '+' && c != '.' {
			return
		}
	}
}

// members hands on each member of an object: its name as it is written between the quotes, and its
// value. It reports whether that was a whole object.
func (s *jsonScanner) members(do func(name, value []byte)) bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	for {
		name := s.value()
		if len(name) < 2 || name[0] != '"' || !s.take(':') {
			return false
		}
		value := s.value()
		if value == nil {
			return false
		}
		do(name[1:len(name)-1], value)
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}
