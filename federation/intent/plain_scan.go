package intent

import (
	"encoding/json"
	"unicode/utf8"
)

// quoted reads a string with its quotation marks; nil: there is none. Simple says that it stands for itself: nothing in
// it is escaped, and all of it is UTF-8.
func (p *plain) quoted() (quoted []byte, simple bool) {
	if p.peek() != '"' {
		return nil, false
	}
	start, ascii := p.at, true
	simple = true
	for p.at++; p.at < len(p.data); p.at++ {
		c := p.data[p.at]
		if ordinary[c] {
			continue
		}
		switch {
		case c == '"':
			p.at++
			quoted = p.data[start:p.at]
			return quoted, simple && (ascii || utf8.Valid(quoted))
		case c == '\\':
			simple = false
			p.at++
		case c < ' ':
			return nil, false
		default:
			ascii = false
		}
	}
	return nil, false
}

// ordinary are the characters that stand for themselves in a string.
var ordinary = func() (o [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		o[c] = c != '"' && c != '\\'
	}
	return o
}()

// members calls fn at the value of each member of an object.
func (p *plain) members(fn func(name []byte) bool) bool {
	return p.list('{', '}', func() bool {
		name, simple := p.quoted()
		if name == nil || !simple {
			return false
		}
		p.space()
		return p.take(':') && fn(name[1:len(name)-1])
	})
}

// list calls fn at each of what is between brackets, with commas in between.
func (p *plain) list(open, end byte, fn func() bool) bool {
	if !p.take(open) {
		return false
	}
	if p.space(); p.take(end) {
		return true
	}
	for {
		if p.space(); !fn() {
			return false
		}
		if p.space(); !p.take(',') {
			return p.take(end)
		}
	}
}

// skip reads past a value, of which nothing but the form is looked at.
func (p *plain) skip() bool {
	p.space()
	switch c := p.peek(); c {
	case '{', '[':
		if p.deep++; p.deep > maxDeep {
			return false
		}
		ok := false
		if c == '{' {
			ok = p.members(func([]byte) bool { return p.skip() })
		} else {
			ok = p.list('[', ']', p.skip)
		}
		p.deep--
		return ok
	case '"':
		quoted, simple := p.quoted()
		return quoted != nil && (simple || json.Valid(quoted))
	case 't':
		return p.word("true")
	case 'f':
		return p.word("false")
	case 'n':
		return p.word("null")
	}
	start := p.at
	for c := p.peek(); c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'; c = p.peek() {
		p.at++
	}
	return json.Valid(p.data[start:p.at])
}

func (p *plain) space() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

// peek is the next byte; 0 at the end, and 0 is part of no JSON.
func (p *plain) peek() byte {
	if p.at < len(p.data) {
		return p.data[p.at]
	}
	return 0
}

func (p *plain) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.at++
	return true
}

func (p *plain) word(w string) bool {
	if len(p.data)-p.at < len(w) || string(p.data[p.at:p.at+len(w)]) != w {
		return false
	}
	p.at += len(w)
	return true
}
