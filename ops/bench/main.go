// Command bench measures Pentad beside etcd, in one run on one disk: writes, reads, and how long nothing can be written
// after a leader was killed. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/grpclog"
)

// settings are the flags.
type settings struct {
	dir      string
	etcd     string
	pentad   string
	run      *regexp.Regexp
	systems  *regexp.Regexp
	rounds   int
	turn     time.Duration
	nodes    []int
	sizes    []int
	clients  []int
	kills    int
	wanKills int
	profile  string
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == nodeCommand {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := runNode(ctx, os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "log node:", err)
			os.Exit(1)
		}
		return
	}
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)) // servers are killed on purpose
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

func parse(args []string) (*settings, error) {
	s := &settings{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&s.dir, "dir", ".bin", "the `folder` in which the clusters' folders are made; its disk is what is measured")
	flags.StringVar(&s.etcd, "etcd", "", "an etcd `binary` to measure beside; empty: it is built from its module")
	flags.StringVar(&s.pentad, "pentad", "", "a pentad `binary` to measure; empty: it is built from this tree")
	systems := flags.String("systems", ".", "of the systems that take turns, only those that match this `pattern`, as in etcd Put|Intent")
	only := flags.String("run", ".", "measure only what matches this `pattern`: writes, reads, forwarded, kills, wan")
	flags.IntVar(&s.rounds, "rounds", 3, "how often the systems take turns")
	flags.DurationVar(&s.turn, "turn", time.Second, "how long one turn lasts under each load")
	nodes := flags.String("nodes", "3,5", "sizes of the clusters")
	sizes := flags.String("sizes", "256,1024", "sizes of the values in bytes; the API's objects have the largest")
	clients := flags.String("clients", "1,16,128", "how many clients write or read at once")
	flags.IntVar(&s.kills, "kills", 50, "how often the leader of each cluster is killed")
	flags.IntVar(&s.wanKills, "wan-kills", 30, "how often it is killed where regions are 30 ms apart")
	flags.StringVar(&s.profile, "profile", "", "a `folder` for CPU profiles of the leader below the API")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	var errs []error
	list := func(name, text string, most int) (all []int) {
		for _, field := range strings.Split(text, ",") {
			n, err := strconv.Atoi(field)
			if err != nil || n < 1 || n > most {
				errs = append(errs, fmt.Errorf("-%s: %q is not a number from 1 to %d", name, field, most))
			}
			all = append(all, n)
		}
		return all
	}
	s.nodes, s.sizes, s.clients = list("nodes", *nodes, 9), list("sizes", *sizes, 1<<20), list("clients", *clients, mostClients)
	var err error
	if s.run, err = regexp.Compile(*only); err != nil {
		errs = append(errs, fmt.Errorf("-run: %w", err))
	}
	if s.systems, err = regexp.Compile(*systems); err != nil {
		errs = append(errs, fmt.Errorf("-systems: %w", err))
	}
	if s.rounds < 1 || s.turn < 10*time.Millisecond || s.kills < 1 || s.wanKills < 1 {
		errs = append(errs, errors.New("-rounds, -kills and -wan-kills must be at least 1, -turn at least 10ms"))
	}
	if flags.NArg() > 0 {
		errs = append(errs, fmt.Errorf("%q: takes no arguments", flags.Arg(0)))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	return s, nil
}

// bench is one run.
type bench struct {
	*settings
	home    string // of this run; goes with it
	certs   *certificates
	etcdAPI string // a binary
	began   time.Time
	aims    []*aim
}

func run(ctx context.Context, args []string) (err error) {
	s, err := parse(args)
	if err != nil {
		return err
	}
	b := &bench{settings: s, began: time.Now()}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	if b.home, err = os.MkdirTemp(s.dir, "bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.home)
	if b.home, err = filepath.Abs(b.home); err != nil {
		return err
	}
	if b.certs, err = newCertificates(filepath.Join(b.home, "certs")); err != nil {
		return err
	}
	if err := b.binaries(ctx); err != nil {
		return err
	}
	fmt.Printf("%s\n", machine())
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"writes", b.writes}, {"reads", b.reads}, {"forwarded", b.forwarded}, {"kills", b.kill}, {"wan", b.wan},
	} {
		if !s.run.MatchString(part.name) {
			continue
		}
		if err := part.run(ctx); err != nil {
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	b.concludes()
	return nil
}

// binaries builds what is measured.
func (b *bench) binaries(ctx context.Context) error {
	if !b.run.MatchString("writes") && !b.run.MatchString("reads") {
		return nil
	}
	if b.etcd == "" {
		b.etcd = filepath.Join(b.dir, "etcd")
		b.progress("building etcd from its module (the first time it is fetched, which takes a minute)")
		if err := build(ctx, filepath.Join("ops", "bench", "etcd"), ".", b.etcd); err != nil {
			return fmt.Errorf("etcd could not be built: without the network its module cannot be fetched; name a binary with "+
				"-etcd, or leave the comparison out with -run 'forwarded|kills|wan': %w", err)
		}
	}
	if !b.run.MatchString("writes") {
		return nil
	}
	if b.pentad == "" {
		b.pentad = filepath.Join(b.home, "pentad")
		b.progress("building pentad")
		if err := build(ctx, ".", "pentad.dev/pentad/cmd/pentad", b.pentad); err != nil {
			return fmt.Errorf("building pentad: %w", err)
		}
	}
	b.etcdAPI = filepath.Join(b.dir, "etcd-api")
	b.progress("building an API over etcd from its modules")
	if err := build(ctx, filepath.Join("ops", "bench", "etcd-api"), ".", b.etcdAPI); err != nil {
		return fmt.Errorf("an API over etcd could not be built, perhaps for want of the network: %w", err)
	}
	return nil
}

func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%7s  %s\n", time.Since(b.began).Round(time.Second), fmt.Sprintf(format, args...))
}
