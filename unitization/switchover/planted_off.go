//go:build !planted

package switchover

// always are the rules that are broken in every state: none, but in builds with the tag "planted".
const always breakage = 0
