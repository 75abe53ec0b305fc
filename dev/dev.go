package dev

import (
	"context"
	"fmt"
	"time"

	"pentad.dev/pentad/process"
)

// Dev is `pentad dev`.
type Dev struct{ cfg Config }

// New refuses a wrong configuration before anything is started or changed.
func New(cfg Config) (*Dev, error) {
	if _, err := ReadEstate(cfg.Estate); err != nil {
		return nil, err
	}
	if cfg.Data == "" {
		return nil, process.Usagef("data folder: must be named")
	}
	return &Dev{cfg: cfg}, nil
}

// Run starts the estate, says where everything is, and stops it in order when ctx ends. A process that ends meanwhile
// is reported and left alone.
func (d *Dev) Run(ctx context.Context) error {
	ended := make(chan Event, 100)
	cfg := d.cfg
	cfg.Notify = func(e Event) {
		if e.State == StateExited {
			select {
			case ended <- e:
			default: // it is in the log too
			}
		}
	}
	site, err := Open(cfg)
	if err != nil {
		return err
	}
	defer site.Close()
	fmt.Fprintf(cfg.Out, "starting %d processes, data in %s\n", len(site.supervisor.Names()), site.cfg.Data)
	if err := site.Up(ctx); err != nil {
		site.Down()
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	site.directions()
	for {
		select {
		case e := <-ended:
			fmt.Fprintf(cfg.Out, "%s ended (%s); start the estate again to have it back, its log is %s\n",
				e.Process, e.Detail, site.path("logs", e.Process+".log"))
		case <-ctx.Done():
			fmt.Fprintf(cfg.Out, "\nstopping, the data stays in %s\n", site.cfg.Data)
			begun := time.Now()
			site.Down()
			fmt.Fprintf(cfg.Out, "stopped after %.1f s\n", time.Since(begun).Seconds())
			return nil
		}
	}
}

// directions say where everything is and what to try.
func (s *Site) directions() {
	out := s.cfg.Out
	fmt.Fprintf(out, "\nThe estate runs.\n\n  kubeconfig  %s\n", s.Kubeconfig())
	fmt.Fprintf(out, "  logs        %s\n  registries  %s\n\n", s.path("logs"), s.path("registry"))
	fmt.Fprintf(out, "  %-10s %-8s %-24s %-22s %s\n", "region", "context", "API", "server's admin page", "relays (xDS)")
	for i, place := range s.estate.Places() {
		fmt.Fprintf(out, "  %-10s %-8s %-24s %-22s", place.Region, place.Center, "https://"+s.apis[i].address,
			"http://"+s.Admin(ServerName(place.Center)))
		for _, relay := range s.centers[place.Center].relays {
			fmt.Fprintf(out, " %s", relay)
		}
		fmt.Fprintln(out)
	}
	first, last := s.estate.Places()[0].Center, s.estate.Places()[len(s.apis)-1].Center
	fmt.Fprintf(out, `
Try, in another terminal:

  export KUBECONFIG=%s
  kubectl get pentad                 # everything that is declared
  kubectl --context %s get centers   # any server answers
  %s status --data %s
  $EDITOR %s   # set an instance to "state: Draining"
  kill -9 %d   # the server of %s; the rest goes on
%s
Ctrl-C stops everything; the same command resumes.
`, s.Kubeconfig(), last, s.cfg.Binary, s.cfg.Data, s.path("registry", first+".yaml"), s.pid(ServerName(first)), first,
		s.unitDirections())
}

// unitDirections say how to move units, where there are some.
func (s *Site) unitDirections() string {
	if len(s.estate.Unitizations) == 0 {
		return ""
	}
	return fmt.Sprintf(`
  kubectl get unitizations,stores    # who owns what
  kubectl create -f - <<<'{apiVersion: pentad.dev/v1alpha1, kind: Switchover, metadata: {name: leave},
    spec: {mode: Planned, evacuate: {region: %s}}}'
  %s switchover approve leave        # shows the plan, and asks
  %s switchover explain leave
`, s.estate.Places()[0].Region, s.cfg.Binary, s.cfg.Binary)
}

func (s *Site) pid(name string) int {
	status, _ := s.supervisor.Status(name)
	return status.PID
}
