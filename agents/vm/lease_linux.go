package vm

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lease takes a read lease (fcntl(2), F_SETLEASE) on the file, which the kernel grants only while nobody has it open
// for writing, and which makes a new writer wait until release. busy: somebody is writing. Neither held nor busy: the
// file system has no leases, or the file is another user's.
func lease(f *os.File) (release func(), held, busy bool) {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err != nil {
		return func() {}, false, errors.Is(err, unix.EAGAIN)
	}
	return func() { _, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) }, true, false
}
