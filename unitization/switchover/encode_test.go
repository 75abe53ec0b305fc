package switchover

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestEncodeIsReadBackToTheByte(t *testing.T) {
	states := []State{{}, smallState(t), approved(t, smallState(t), "x", disasterOfT(BreakGlass)),
		committed(t, smallState(t), "x", evacuateHangzhou)}
	for _, s := range states {
		data, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeState(data)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := back.Encode(); !bytes.Equal(again, data) || !reflect.DeepEqual(back, s) {
			t.Fatalf("%s\nis read as\n%s", data, again)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	data, _ := smallState(t).Encode()
	good := string(data)
	for name, bad := range map[string]string{
		"nothing":          "",
		"half":             good[:len(good)/2],
		"more":             good + "{}",
		"space":            good + " ",
		"a later version":  strings.Replace(good, `"Version":1`, `"Version":2`, 1),
		"an unknown field": strings.Replace(good, `"Epoch"`, `"Age":1,"Epoch"`, 1),
		"another case":     strings.Replace(good, `"Epoch"`, `"epoch"`, 1),
		"twice":            strings.Replace(good, `"Epoch":3`, `"Epoch":3,"Epoch":3`, 1),
		"a hole":           strings.Replace(good, `"From":5`, `"From":6`, 1),
		"a locked range":   strings.Replace(good, `"Lock":""`, `"Lock":"x","Lock":""`, 1),
		"a future epoch":   strings.Replace(good, `"Epoch":3`, `"Epoch":2`, 1),
	} {
		if bad == good {
			t.Fatalf("%s: the bytes are the same", name)
		}
		if _, err := DecodeState([]byte(bad)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheEncodingIsThis pins the format: snapshots of older versions must be read.
func TestTheEncodingIsThis(t *testing.T) {
	s := mustApply(t, State{}, DeclareStore{Store: "s", Members: []string{"a"}, Primary: "a"},
		DeclareMap{Unitization: "m", Shards: 1, Permit: 1, Baseline: []Range{{Unit: "u", Cells: []string{"u.a"}}}},
		OpenSession{Session{ID: "1", Holder: Agent, Name: "n", Cluster: "c", Center: "a"}})
	got, _ := s.Encode()
	want := `{"Version":1,"State":{"Epoch":1,"Maps":{"m":{"Shards":1,"Epoch":1,"Ranges":[{"From":0,"To":0,"Unit":"u",` +
		`"Cells":["u.a"],"Frozen":false,"Since":1,"Left":null,"Lock":""}],"Wanted":null,"Permit":1,"Keep":false}},` +
		`"Stores":{"s":{"Members":["a"],"Synchronous":false,"HoldsPermit":false,"Primary":"a","Accepting":true,` +
		`"Fenced":false,"Token":0,"Order":null,"Lock":"","TwoWritersPossible":""}},` +
		`"Sessions":{"1":{"ID":"1","Holder":2,"Name":"n","Cluster":"c","Center":"a","Closed":false}},"Switchovers":null}}`
	if string(got) != want {
		t.Fatalf("%s\nwant\n%s", got, want)
	}
}
