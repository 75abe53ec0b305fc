package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of /proc/PID/stat, the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// cpu is the processor time that the processes have taken since their starts, in user mode and in the kernel.
func (cs children) cpu() (sum time.Duration, err error) {
	for _, c := range cs {
		c.mu.Lock()
		pid := c.cmd.Process.Pid
		c.mu.Unlock()
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", c.name, err)
		}
		// The second field, a name in brackets, may have blanks in it; utime and stime are the 14th and the 15th.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		const utime = 14 - 3
		for i := utime; i <= utime+1; i++ {
			n, err := strconv.ParseInt(string(fields[i]), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: /proc/%d/stat: %w", c.name, pid, err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}
