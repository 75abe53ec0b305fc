// Package e2e runs five real `pentad server` processes, each in a network namespace and on a file system of its own, does
// to them what happens to servers, and checks that what clients saw of the API meanwhile is linearizable.
//
// It needs Linux, root, iproute2, mkfs.ext4, loop devices and tun. The tests are behind the build tag e2e; `make e2e` runs
// them all, `make e2e SHORT=1` a form of some minutes, and `make e2e KILLS=50` measures for how long nobody can write after
// the leader was killed. Where they cannot run they say why and are skipped; with PENTAD_E2E_REQUIRED=1 that is a failure.
//
//   - needs: what a machine must have, asked for before anything is made
//   - netns: namespaces, the bridge between them, and a switch in user space for what is cut or far away
//   - disk: file systems that fill up and hang, and the guardian that takes them away
//   - estate: the servers, their certificates and configurations
//   - history: clients, in processes and namespaces of their own, and the judgement over what they saw
//
// Everything that a run makes is gone after it, however it ends: processes die with the thread that started them,
// namespaces with their last process, and a guardian process takes the file systems away. A failed run leaves its logs in
// a folder that it names.
package e2e
