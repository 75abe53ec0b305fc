package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func header() Header {
	return Header{Cluster: "6b1f9d1c-0000-4000-8000-000000000001", Server: "hz-a", Level: 2, Incarnation: 1_800_000_000,
		Revision: 1_800_000_000<<31 + 7, Index: 12, Term: 3, Taken: time.Date(2027, 1, 15, 8, 0, 0, 0, time.UTC)}
}

// random is n bytes of content.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func file(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, header(), bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// content reads a file whole.
func content(r io.Reader) (Header, []byte, error) {
	in, err := Read(r)
	if err != nil {
		return Header{}, nil, err
	}
	b, err := io.ReadAll(in)
	return in.Header(), b, err
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, n := range []int{0, 1, maxPiece - 1, maxPiece, maxPiece + 1, 5*maxPiece + 17} {
		want := random(n)
		h, got, err := content(iotest.OneByteReader(bytes.NewReader(file(t, want))))
		if err != nil || h != header() || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d bytes of %v, %v", n, len(got), h, err)
		}
	}
}

func TestEveryCutIsFound(t *testing.T) {
	whole := file(t, random(300))
	for n := range whole {
		if _, _, err := content(bytes.NewReader(whole[:n])); !errors.Is(err, ErrFile) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	whole := file(t, random(300))
	for bit := range len(whole) * 8 {
		altered := bytes.Clone(whole)
		altered[bit/8] ^= 1 << (bit % 8)
		_, _, err := content(bytes.NewReader(altered))
		if !errors.Is(err, ErrFile) && !errors.Is(err, ErrVersion) {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	whole := file(t, random(10))
	newer := bytes.Replace(whole, []byte("backup 1\n"), []byte("backup 2\n"), 1)
	sum := sha256.Sum256(newer[:len(newer)-sha256.Size])
	copy(newer[len(newer)-sha256.Size:], sum[:])
	for name, c := range map[string]struct {
		data []byte
		want error
		says string
	}{
		"a newer version":   {newer, ErrVersion, `version "2", and this build reads "1"`},
		"bytes after it":    {append(bytes.Clone(whole), 0), ErrFile, "after its end"},
		"two of them":       {append(bytes.Clone(whole), whole...), ErrFile, "after its end"},
		"something else":    {[]byte("PK\x03\x04 something else\n"), ErrFile, "must begin with"},
		"no newline at all": {bytes.Repeat([]byte("x"), 3*maxPiece), ErrFile, "must begin with"},
		"a huge piece":      {[]byte(magic + version + "\n\xff\xff\xff\xff\xff\x01"), ErrFile, "at most"},
		"no header":         {[]byte(magic + version + "\n\x00"), ErrFile, "no header"},
		"empty header":      {[]byte(magic + version + "\n\x02{}"), ErrFile, "header"},
	} {
		_, _, err := content(bytes.NewReader(c.data))
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnIncompleteHeaderIsNotWritten(t *testing.T) {
	h := header()
	h.Cluster = ""
	var b bytes.Buffer
	if err := Write(&b, h, bytes.NewReader(nil)); err == nil || !strings.Contains(err.Error(), "cluster: must be set") || b.Len() > 0 {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
}

func TestAnErrorOfTheDiskIsNoEnd(t *testing.T) {
	broken := errors.New("read error")
	whole := file(t, random(100))
	_, _, err := content(io.MultiReader(bytes.NewReader(whole[:150]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || !errors.Is(err, ErrFile) {
		t.Error(err)
	}
}

// FuzzRead: whatever the bytes, no panic, and what is taken for whole is what Write writes of it.
func FuzzRead(f *testing.F) {
	f.Add(file(f, nil))
	f.Add(file(f, random(20)))
	f.Add(file(f, random(maxPiece+1)))
	f.Add([]byte(magic + version + "\n\x02{}\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := Read(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrFile) && !errors.Is(err, ErrVersion) {
				t.Fatalf("%v is none of the errors", err)
			}
			return
		}
		got, err := io.ReadAll(in)
		if err != nil {
			if !errors.Is(err, ErrFile) {
				t.Fatalf("%v is none of the errors", err)
			}
			return
		}
		_, again, err := content(bytes.NewReader(fileOf(t, in.Header(), got)))
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%d bytes, written again %d: %v", len(got), len(again), err)
		}
	})
}

func fileOf(t *testing.T, h Header, content []byte) []byte {
	var b bytes.Buffer
	if err := Write(&b, h, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
