package route

// Decimal text is read eight bytes at a time, each byte of a word a digit (Lemire, "Quickly parsing eight digits",
// 2018).
const (
	zeroDigits = 0x3030303030303030
	highNibble = 0xF0F0F0F0F0F0F0F0
	aboveNine  = 0x0606060606060606
)

// word is the eight bytes of s from i, the first in the lowest place; the compiler makes one load of it.
func word(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// decimal says whether all eight bytes are digits: the high nibble is 3, and still 3 when six is added. Where the first
// half holds no byte is above 3F, so the second half's addition carries nothing from byte to byte.
func decimal(w uint64) bool {
	return w&highNibble == zeroDigits && (w+aboveNine)&highNibble == zeroDigits
}

// number is the value of eight digits.
func number(w uint64) uint64 {
	const pairs = 0x000000FF000000FF
	w -= zeroDigits
	w = w*10 + w>>8
	return ((w & pairs * 0x000F424000000064) + (w >> 16 & pairs * 0x0000271000000001)) >> 32 & 0xFFFFFFFF
}

// remainder is the value of s modulo m, which is at most MaxShards; false when s is not decimal.
func remainder(s string, m uint64) (uint64, bool) {
	if s == "" {
		return 0, false
	}
	value, i := uint64(0), 0
	for ; i < len(s)%8; i++ {
		digit := uint64(s[i]) - '0'
		if digit > 9 {
			return 0, false
		}
		value = value*10 + digit
	}
	// Below this another eight digits fit, so ids of up to 18 digits are divided once.
	const fits = (1<<64 - 1 - 99_999_999) / 100_000_000
	for ; i < len(s); i += 8 {
		w := word(s, i)
		if !decimal(w) {
			return 0, false
		}
		if value > fits {
			value %= m
		}
		value = value*100_000_000 + number(w)
	}
	return value % m, true
}

// lastDigits is the value of count digits of s that skip digits follow; digits that s does not have are zeros. False
// when s is not decimal.
func lastDigits(s string, skip, count int) (int, bool) {
	if s == "" {
		return 0, false
	}
	i := 0
	for ; i < len(s)%8; i++ {
		if s[i]-'0' > 9 {
			return 0, false
		}
	}
	for ; i < len(s); i += 8 {
		if !decimal(word(s, i)) {
			return 0, false
		}
	}
	if skip >= len(s) {
		return 0, true
	}
	value := 0
	for i := max(0, len(s)-skip-count); i < len(s)-skip; i++ {
		value = value*10 + int(s[i]-'0')
	}
	return value, true
}
