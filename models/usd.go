package models

import (
	"fmt"

	"github.com/shopspring/decimal"
)

// USD is an amount of US dollars in billionths, so that sums are exact. It reaches to about
// nine billion dollars, either way.
type USD int64

// Dollar is one of them.
const Dollar USD = 1_000_000_000

// usdPlaces is the number of decimal places that a USD keeps.
const usdPlaces = 9

// maxExponent bounds the work that a number may ask for.
const maxExponent = 400

// ParseUSD reads a decimal number of dollars such as 12.5 or 2.2e-05, rounded to the nearest
// billionth. It is Invalid when s is no number, or more than a USD holds.
func ParseUSD(s string) (USD, error) {
	d, err := decimal.NewFromString(s)
	if err != nil {
		return 0, Errorf(Invalid, "%q is not an amount of money", s)
	}
	if e := d.Exponent(); e < -maxExponent || e > maxExponent { // 1e999999999 is short to write and long to count
		return 0, Errorf(Invalid, "%q has too many places", s)
	}
	whole := d.Shift(usdPlaces).Round(0)
	if !whole.BigInt().IsInt64() {
		return 0, Errorf(Invalid, "%s dollars are more than we can count", s)
	}
	return USD(whole.IntPart()), nil
}

func (u USD) String() string { return decimal.New(int64(u), -usdPlaces).String() }

// MarshalJSON writes a JSON number of dollars.
func (u USD) MarshalJSON() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalJSON reads a JSON number of dollars, or one in a string.
func (u *USD) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	if len(raw) > 1 && raw[0] == '"' {
		raw = raw[1 : len(raw)-1]
	}
	v, err := ParseUSD(string(raw))
	if err != nil {
		return fmt.Errorf("usd: %w", err)
	}
	*u = v
	return nil
}
