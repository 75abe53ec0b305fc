package bootstrap_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/xds"

	"pentad.dev/pentad/xds-relay/bootstrap"
)

var rewrite = flag.Bool("update", false, "write testdata anew")

func config() bootstrap.Config {
	return bootstrap.Config{
		Node: "orders-7", Workload: "orders", Region: "hangzhou", Center: "hz-a",
		Relays: []string{"10.1.0.1:15010", "10.1.0.2:15010"},
	}
}

func TestGolden(t *testing.T) {
	tls := config()
	tls.Certificates = &bootstrap.Certificates{Certificate: "/etc/pentad/cert.pem", Key: "/etc/pentad/key.pem",
		CA: "/etc/pentad/ca.pem"}
	ipv6 := config()
	ipv6.Relays = []string{"[fd00::1]:15010", "[fd00::2]:15010"}
	name := config()
	name.Relays = []string{"relays.hz-a.example:15010"}
	single := config()
	single.Relays, single.SingleRelay = single.Relays[:1], true
	for file, c := range map[string]bootstrap.Config{
		"plaintext": config(), "tls": tls, "ipv6": ipv6, "name": name, "single": single,
	} {
		t.Run(file, func(t *testing.T) {
			got, err := bootstrap.GRPC(c)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", file+".json")
			if *rewrite {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs (go test -update writes it anew):\n%s", golden, got)
			}
			if c.Certificates == nil {
				if _, err := xds.NewXDSResolverWithConfigForTesting(got); err != nil {
					t.Errorf("grpc-go refuses it: %v", err)
				}
			}
		})
	}
}

func TestBadConfigIsRefusedWithFieldAndValue(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*bootstrap.Config)
		want []string
	}{
		"no node":       {func(c *bootstrap.Config) { c.Node = "" }, []string{"node", "Required"}},
		"no region":     {func(c *bootstrap.Config) { c.Region = "" }, []string{"region", "Required"}},
		"region":        {func(c *bootstrap.Config) { c.Region = "Hang Zhou" }, []string{"region", `"Hang Zhou"`}},
		"center":        {func(c *bootstrap.Config) { c.Center = "hz_a" }, []string{"center", `"hz_a"`}},
		"no relays":     {func(c *bootstrap.Config) { c.Relays = nil }, []string{"relays", "Required"}},
		"one relay":     {relays("10.0.0.1:1"), []string{"relays", "10.0.0.1:1", "two relays or more"}},
		"no port":       {relays("10.0.0.1", "10.0.0.2:1"), []string{"relays[0]", `"10.0.0.1"`, "host:port"}},
		"port 0":        {relays("10.0.0.1:1", "10.0.0.2:0"), []string{"relays[1]", `"10.0.0.2:0"`, "1 to 65535"}},
		"port too high": {relays("10.0.0.1:1", "10.0.0.2:65536"), []string{"relays[1]", "65536"}},
		"same twice":    {relays("10.0.0.1:1", "10.0.0.1:1"), []string{"relays[1]", "Duplicate", "10.0.0.1:1"}},
		"two families":  {relays("10.0.0.1:1", "[::1]:1"), []string{"relays", "one family"}},
		"unspecified":   {relays("0.0.0.0:1", "10.0.0.1:1"), []string{"relays[0]", "0.0.0.0:1"}},
		"two names":     {relays("a.example:1", "b.example:1"), []string{"relays", "one host name"}},
		"mixed":         {relays("a.example:1", "10.0.0.1:1"), []string{"relays", "one host name"}},
		"bad name":      {relays("a_b:1"), []string{"relays[0]", `"a_b`, "DNS name"}},
		"half certificates": {func(c *bootstrap.Config) { c.Certificates = &bootstrap.Certificates{Certificate: "c"} },
			[]string{"certificates.key", "certificates.ca", "Required"}},
	} {
		t.Run(name, func(t *testing.T) {
			bad := config()
			c.edit(&bad)
			b, err := bootstrap.GRPC(bad)
			if err == nil {
				t.Fatalf("accepted:\n%s", b)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q doesn't say %q", err, part)
				}
			}
		})
	}
}

func relays(addresses ...string) func(*bootstrap.Config) {
	return func(c *bootstrap.Config) { c.Relays = addresses }
}
