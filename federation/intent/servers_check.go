package intent

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"pentad.dev/pentad/federation/intent/intentpb"
)

// checkServer checks the form of a server's record, as its proposer must write it.
func checkServer(at string, s *intentpb.Server) error {
	errs := []error{
		named(at+".name", s.GetName()), named(at+".region", s.GetRegion()), named(at+".center", s.GetCenter()),
		checkID(at+".folder", s.GetFolder()),
		checkAddress(at+".raft", s.GetRaft()), checkAddress(at+".grpc", s.GetGrpc()),
		positive(at+".level", uint64(s.GetLevel()), "the highest level that the server knows"),
		bounded(at+".version", s.GetVersion()),
	}
	if s.GetApi() != "" { // unknown until it announces itself
		errs = append(errs, checkAddress(at+".api", s.GetApi()))
	}
	return errors.Join(errs...)
}

func checkAddress(name, address string) error {
	colon := strings.LastIndexByte(address, ':')
	host, port := address[:max(colon, 0)], address[colon+1:]
	n, err := strconv.ParseUint(port, 10, 16)
	bare := strings.Contains(host, ":") && !(strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]"))
	if colon < 1 || err != nil || n == 0 || bare || strings.ContainsAny(host, " \t\r\n/") || len(address) > MaxName {
		return fmt.Errorf("%s %.64q: must be host:port", name, address)
	}
	return nil
}

// checkMember is checkOperation for commands about servers.
func checkMember(command *intentpb.Command) error {
	notRemoved := func(s *intentpb.Server) error {
		if s.GetRemoved() {
			return errors.New("server.removed true: must not be set: a server is removed by its own command")
		}
		return nil
	}
	switch o := command.GetOperation().(type) {
	case *intentpb.Command_SetServer:
		return errors.Join(checkServer("server", o.SetServer.GetServer()), notRemoved(o.SetServer.GetServer()))
	case *intentpb.Command_JoinServer:
		return errors.Join(checkServer("server", o.JoinServer.GetServer()), notRemoved(o.JoinServer.GetServer()),
			checkHash("token", o.JoinServer.GetToken()))
	case *intentpb.Command_RemoveServer:
		return errors.Join(named("name", o.RemoveServer.GetName()), checkID("folder", o.RemoveServer.GetFolder()))
	case *intentpb.Command_CreateToken:
		return errors.Join(checkHash("token", o.CreateToken.GetToken()), bounded("creator", o.CreateToken.GetCreator()))
	case *intentpb.Command_RevokeToken:
		return checkHash("token", o.RevokeToken.GetToken())
	case *intentpb.Command_RaiseLevel:
		return positive("level", uint64(o.RaiseLevel.GetLevel()), "the level to raise the estate to")
	}
	return errors.New("operation: must be one that this version knows")
}
