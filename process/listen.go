package process

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// firstFD is where passed file descriptors begin, after standard input, output and error.
const firstFD = 3

// Listeners are the process's listeners by name.
type Listeners map[string]net.Listener

// Listen returns a listener for each name: the one that was passed by file descriptor (LISTEN_FDS and LISTEN_FDNAMES as in
// sd_listen_fds(3), without LISTEN_PID), else a new one on its address. On an error it has closed what it opened.
func Listen(addresses map[string]string) (Listeners, error) {
	listeners, err := passed()
	if err != nil {
		listeners.Close()
		return nil, &UsageError{err}
	}
	for name, address := range addresses {
		if listeners[name] != nil {
			continue
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			listeners.Close()
			return nil, Usagef("listen.%s: %q can't be bound (is it in use by another process?): %w", name, address, err)
		}
		listeners[name] = listener
	}
	return listeners, nil
}

// Close closes every listener.
func (l Listeners) Close() {
	for _, listener := range l {
		_ = listener.Close()
	}
}

func passed() (Listeners, error) {
	listeners := Listeners{}
	count := os.Getenv("LISTEN_FDS")
	if count == "" {
		return listeners, nil
	}
	n, err := strconv.Atoi(count)
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	if err != nil || n != len(names) {
		return listeners, fmt.Errorf("LISTEN_FDS=%q does not count the names in LISTEN_FDNAMES=%q", count, os.Getenv("LISTEN_FDNAMES"))
	}
	for i, name := range names {
		file := os.NewFile(uintptr(firstFD+i), name)
		listener, err := net.FileListener(file)
		_ = file.Close() // FileListener has its own copy
		if err != nil {
			return listeners, fmt.Errorf("file descriptor %d (%s) is no listener: %w", firstFD+i, name, err)
		}
		listeners[name] = listener
	}
	return listeners, nil
}
