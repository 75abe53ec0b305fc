package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"pentad.dev/pentad/agents"
	"pentad.dev/pentad/client"
	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/federation/server"
	relay "pentad.dev/pentad/xds-relay"
)

// statusPatience is how long one process may take to answer.
const statusPatience = 2 * time.Second

// asked are the pages of whom the flags and arguments say, by name.
func asked(cmd *cobra.Command, addresses []string, data string, api *apiFlags) ([]page, error) {
	targets := map[string]string{}
	for _, address := range addresses {
		targets[address] = address
	}
	if len(addresses) == 0 {
		var err error
		given := api.kubeconfig != ""
		if !given {
			targets, err = dev.AdminPages(data)
			given = err != nil && !cmd.Flags().Changed("data") && os.Getenv("KUBECONFIG") != ""
		}
		if given {
			c, err := api.client()
			if err != nil {
				return nil, err
			}
			defer c.Close()
			return askServers(cmd.Context(), c), nil
		}
		if err != nil {
			return nil, err
		}
	}
	return askAdmins(cmd.Context(), targets), nil
}

func askServers(ctx context.Context, c *client.Client) (all []page) {
	for _, s := range c.Statuses(ctx, statusPatience) {
		p := page{name: s.URL, err: s.Err}
		if p.err == nil {
			p.err = p.read(s.Page)
		}
		all = append(all, p)
	}
	return all
}

func askAdmins(ctx context.Context, targets map[string]string) (all []page) {
	pages := make(chan page, len(targets))
	var asking sync.WaitGroup
	for name, address := range targets {
		asking.Go(func() { pages <- ask(ctx, name, address) })
	}
	asking.Wait()
	close(pages)
	for p := range pages {
		all = append(all, p)
	}
	return all
}

// page is an admin page's answer: one of the three, or an error.
type page struct {
	name   string
	server *server.Status
	relay  *relay.Status
	agent  *agents.Status
	err    error
}

func ask(ctx context.Context, name, address string) page {
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	p := page{name: name}
	var body []byte
	if body, p.err = get(ctx, "http://"+address+"/status"); p.err == nil {
		p.err = p.read(body)
	}
	return p
}

// read tells the processes apart by what their pages hold.
func (p *page) read(body []byte) error {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(body, &keys); err != nil {
		return err
	}
	var into any
	switch {
	case keys["raft"] != nil:
		p.server = &server.Status{}
		into = p.server
	case keys["resources"] != nil:
		p.relay = &relay.Status{}
		into = p.relay
	case keys["sources"] != nil:
		p.agent = &agents.Status{}
		into = p.agent
	default:
		return fmt.Errorf("%s is the page of neither server, relay nor agent", p.name)
	}
	return json.Unmarshal(body, into)
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}
