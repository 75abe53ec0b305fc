package intent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
)

// TestPlainKnowsEveryField: an object with all that its kind can say is plain, and decodes to what the library makes of
// it.
func TestPlainKnowsEveryField(t *testing.T) {
	for _, kind := range v1alpha1.Kinds() {
		value := filledValue(kind)
		if _, ok := (&plain{data: value}).object(kind); !ok {
			t.Errorf("%s: not plain: %s", kind, value)
		}
		if err := plainDiffers(kind, value, 0); err != nil {
			t.Error(err)
		}
	}
}

// TestPlainIsTheLibrary: of whatever comes, plain JSON is decoded to what the library makes of it, and what the library
// refuses is not plain.
func TestPlainIsTheLibrary(t *testing.T) {
	if err := plainTrials(0); err != nil {
		t.Error(err)
	}
}

func TestPlainFindsBrokenRules(t *testing.T) {
	for name, broken := range map[string]plainBreakage{
		"repeated fields are taken": brokenRepeated, "zeros in front are taken": brokenZeros, "a tail is taken": brokenTail,
	} {
		if plainTrials(broken) == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

func FuzzPlain(f *testing.F) {
	kinds := v1alpha1.Kinds()
	for i, kind := range kinds {
		f.Add(uint8(i), filledValue(kind))
	}
	f.Fuzz(func(t *testing.T, kind uint8, value []byte) {
		if err := plainDiffers(kinds[int(kind)%len(kinds)], value, 0); err != nil {
			t.Error(err)
		}
	})
}

// plainDiffers says how plain JSON is decoded otherwise than by the library; nil: the same, or not plain.
func plainDiffers(kind string, value []byte, broken plainBreakage) error {
	got, ok := (&plain{data: value, broken: broken}).object(kind)
	if !ok {
		return nil
	}
	want, errs := decodeStrict(kind, bytes.Clone(value))
	switch {
	case len(errs) > 0:
		return fmt.Errorf("%s: plain, but the library says %v: %s", kind, errs, value)
	case !reflect.DeepEqual(got, want):
		return fmt.Errorf("%s: plain is\n%+v, the library says\n%+v: %s", kind, got, want, value)
	}
	return nil
}

// plainTrials changes objects in many small ways.
func plainTrials(broken plainBreakage) error {
	rnd := rand.New(rand.NewPCG(1, 7))
	for _, kind := range v1alpha1.Kinds() {
		value := filledValue(kind)
		for range 2000 {
			changed := value
			for range 1 + rnd.IntN(2) {
				changed = garble(rnd, changed)
			}
			if err := plainDiffers(kind, changed, broken); err != nil {
				return err
			}
		}
	}
	return nil
}

// odd is what JSON may have, or must not, anywhere.
var odd = []string{
	"null", " ", "\n", "\x00", "\"", "\\", `\"`, `\u0041`, `\ud83d\ude00`, `\ud83d`, "\xff", "é", "K", ",", ":", "0", "00", "-",
	"-0", "1.0", "1e3", "9223372036854775808", "{}", "[]", "[null]", "true", "false", "tru", `"metadata":{},`, `"name":"x",`, "}",
	`"x":1,`, `"Name":"x",`, `"labels":{"a":"1","a":"2"},`, "/**/", "\u2028",
}

// garble changes a value in one place: puts something odd in, takes something out, or repeats it.
func garble(rnd *rand.Rand, value []byte) []byte {
	at := rnd.IntN(len(value) + 1)
	if marks := bytes.Count(value, []byte(`"`)); marks > 0 && rnd.IntN(2) == 0 { // where a value, a name or a member begins
		at = 0
		for range 1 + rnd.IntN(marks) {
			at += bytes.IndexByte(value[at:], '"') + 1
		}
		at -= rnd.IntN(2)
	}
	end := min(len(value), at+rnd.IntN(12))
	switch rnd.IntN(4) {
	case 0:
		return bytes.Join([][]byte{value[:at], value[end:]}, nil)
	case 1:
		return bytes.Join([][]byte{value[:end], value[at:]}, nil)
	}
	if rnd.IntN(2) == 0 {
		end = at
	}
	return bytes.Join([][]byte{value[:at], []byte(odd[rnd.IntN(len(odd))]), value[end:]}, nil)
}

// filledValue is the JSON of an object that has every field.
func filledValue(kind string) []byte {
	object := v1alpha1.New(kind)
	n := 0
	fill(reflect.ValueOf(object).Elem(), &n)
	encoded, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return encoded
}

// fill gives every field a value of its own.
func fill(v reflect.Value, n *int) {
	*n++
	at := time.Unix(epoch+int64(*n), 0)
	switch own := v.Addr().Interface().(type) {
	case *metav1.Time:
		own.Time = at
		return
	case *metav1.MicroTime:
		own.Time = at.Add(time.Microsecond)
		return
	case *metav1.Duration:
		own.Duration = time.Duration(*n) * time.Second
		return
	case *metav1.FieldsV1:
		*own = *metav1.NewFieldsV1(fmt.Sprintf(`{"f:spec":{"f:%d":{},".":[1.5,true,null,"\u003c"]}}`, *n))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d, \"<é>\"", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			*n++
			key.SetString(fmt.Sprintf("key%d", *n))
			fill(value, n)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	default:
		panic(fmt.Sprintf("a field of type %s", v.Type()))
	}
}
