package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// Member is a federation server, as its leader sees it.
type Member struct {
	Name   string `json:"name"`
	Region string `json:"region"`
	Center string `json:"center"`
	// Role is voter, replica or none, Wanted what operators want: they differ while a server that is dead has lost its
	// vote, or one that is new has not caught up.
	Role   string `json:"role"`
	Wanted string `json:"wanted"`
	Leader bool   `json:"leader"`
	// Heard is how long ago the leader heard of it; negative: not since it leads, which is that long.
	Heard time.Duration `json:"heard"`
	// Behind is how many entries of the log it lacks.
	Behind uint64 `json:"behind"`
	// Level is the highest level of commands that it knows, Version what its build calls itself.
	Level   uint32 `json:"level"`
	Version string `json:"version"`
	// Folder is the id of its data folder.
	Folder string `json:"folder"`
	Raft   string `json:"raft"`
	GRPC   string `json:"grpc"`
	API    string `json:"api"`
}

// Members are all servers, by name.
type Members struct {
	// Level is the highest level of commands that the servers may use.
	Level uint32 `json:"level"`
	// Cluster is the id of this life of the estate.
	Cluster string   `json:"cluster"`
	Members []Member `json:"members"`
}

// Token lets one server join.
type Token struct {
	// Token is the secret: only who made it sees it.
	Token   string    `json:"token,omitempty"`
	Name    string    `json:"name"`
	Expires time.Time `json:"expires"`
	Creator string    `json:"creator,omitempty"`
	// Server has joined with it; empty: it was not used.
	Server string `json:"server,omitempty"`
	// Revoked says that nobody may join with it any more.
	Revoked bool `json:"revoked,omitempty"`
}

// Orders on members.
const (
	Promote = "promote"
	Demote  = "demote"
	Remove  = "remove"
)

// ErrOrder is what the error of an order is that the servers refuse: nothing was changed.
var ErrOrder = errors.New("refused")

// Members asks the leader, through any server.
func (c *Client) Members(ctx context.Context) (*Members, error) {
	members := &Members{}
	err := c.call(ctx, repeatable, func(ctx context.Context, r rest.Interface) error {
		data, err := page(r.Get().AbsPath("/pentad/servers").DoRaw(ctx))
		if err != nil {
			return err
		}
		return json.Unmarshal(data, members)
	})
	if err != nil {
		return nil, fmt.Errorf("list the servers: %w", said(err))
	}
	return members, nil
}

// OrderMember promotes, demotes or removes a server, and returns what was done. Force carries out what would leave less
// than a majority of voters alive. It may be repeated.
func (c *Client) OrderMember(ctx context.Context, name, order string, force bool) (string, error) {
	var answer struct {
		Message string `json:"message"`
	}
	err := c.post(ctx, "/pentad/servers/"+url.PathEscape(name), map[string]any{"order": order, "force": force}, &answer)
	if err != nil {
		return "", fmt.Errorf("%s server %q: %w", order, name, err)
	}
	return answer.Message, nil
}

// Invite makes a token with which one server can join. A zero life: the servers' default.
func (c *Client) Invite(ctx context.Context, life time.Duration) (*Token, error) {
	body := map[string]any{}
	if life != 0 {
		body["ttl"] = life.String()
	}
	token := &Token{}
	if err := c.post(ctx, "/pentad/tokens", body, token); err != nil {
		return nil, fmt.Errorf("make a token: %w", err)
	}
	return token, nil
}

// Tokens are the tokens that are remembered, without the secrets.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	var tokens []Token
	err := c.call(ctx, repeatable, func(ctx context.Context, r rest.Interface) error {
		data, err := page(r.Get().AbsPath("/pentad/tokens").DoRaw(ctx))
		if err != nil {
			return err
		}
		return json.Unmarshal(data, &tokens)
	})
	if err != nil {
		return nil, fmt.Errorf("list the tokens: %w", said(err))
	}
	return tokens, nil
}

// Revoke keeps a token that was not used from letting a server in; its name is the one by which it is listed. It returns
// what was done, and may be repeated.
func (c *Client) Revoke(ctx context.Context, name string) (string, error) {
	var answer struct {
		Message string `json:"message"`
	}
	err := c.call(ctx, repeatable, func(ctx context.Context, r rest.Interface) error {
		data, err := page(r.Delete().AbsPath("/pentad/tokens/" + url.PathEscape(name)).DoRaw(ctx))
		if err != nil {
			return err
		}
		return json.Unmarshal(data, &answer)
	})
	if err != nil {
		return "", fmt.Errorf("revoke a token: %w", said(err))
	}
	return answer.Message, nil
}

// post sends a body to a page; doing it twice must be the same as once, or harmless.
func (c *Client) post(ctx context.Context, path string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	err = c.call(ctx, repeatable, func(ctx context.Context, r rest.Interface) error {
		answer, err := page(r.Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(data).DoRaw(ctx))
		if err != nil {
			return err
		}
		return json.Unmarshal(answer, into)
	})
	return said(err)
}

// said is an error of a page with the page's own words, which the library keeps among the causes.
func said(err error) error {
	var failed *apierrors.StatusError
	if !errors.As(err, &failed) || failed.ErrStatus.Details == nil {
		return err
	}
	for _, cause := range failed.ErrStatus.Details.Causes {
		if cause.Type != metav1.CauseTypeUnexpectedServerResponse || cause.Message == "" || cause.Message == "unknown" {
			continue
		}
		if failed.ErrStatus.Code == 422 || failed.ErrStatus.Code == 400 {
			return fmt.Errorf("%w: %s", ErrOrder, strings.TrimSpace(cause.Message))
		}
		return fmt.Errorf("%w (%s)", err, strings.TrimSpace(cause.Message))
	}
	return err
}
