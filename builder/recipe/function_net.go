package recipe

import (
	"errors"
	"math/big"
	"net/netip"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// networkFunctions are Terraform's cidr functions.
func networkFunctions() map[string]function.Function {
	prefix := function.Parameter{Name: "prefix", Type: cty.String}
	number := func(name string) function.Parameter { return function.Parameter{Name: name, Type: cty.Number} }
	textual := func(f func(p netip.Prefix, n []*big.Int) (string, error), params ...function.Parameter) function.Function {
		return function.New(&function.Spec{
			Params: append([]function.Parameter{prefix}, params...),
			Type:   function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				none := cty.UnknownVal(cty.String)
				p, err := netip.ParsePrefix(args[0].AsString())
				if err != nil {
					return none, function.NewArgErrorf(0, "need an address and a prefix length such as 10.0.0.0/8")
				}
				var numbers []*big.Int
				for i, a := range args[1:] {
					n, accuracy := a.AsBigFloat().Int(nil)
					if accuracy != big.Exact {
						return none, function.NewArgErrorf(i+1, "need a whole number")
					}
					numbers = append(numbers, n)
				}
				s, err := f(p.Masked(), numbers)
				if err != nil {
					return none, err
				}
				return cty.StringVal(s), nil
			},
		})
	}
	return map[string]function.Function{
		"cidrhost": textual(func(p netip.Prefix, n []*big.Int) (string, error) {
			a, err := offset(p, p.Addr().BitLen()-p.Bits(), 0, n[0])
			return a.String(), err
		}, number("hostnum")),
		"cidrsubnet": textual(func(p netip.Prefix, n []*big.Int) (string, error) {
			if !n[0].IsInt64() || n[0].Sign() < 0 || n[0].Int64() > int64(p.Addr().BitLen()-p.Bits()) {
				return "", errors.New("not so many bits are left for subnets")
			}
			bits := p.Bits() + int(n[0].Int64())
			a, err := offset(p, int(n[0].Int64()), p.Addr().BitLen()-bits, n[1])
			return netip.PrefixFrom(a, bits).String(), err
		}, number("newbits"), number("netnum")),
		"cidrnetmask": textual(func(p netip.Prefix, _ []*big.Int) (string, error) {
			if !p.Addr().Is4() {
				return "", errors.New("IPv6 has no netmasks")
			}
			all, _ := netip.AddrFrom4([4]byte{255, 255, 255, 255}).Prefix(p.Bits())
			return all.Addr().String(), nil
		}),
	}
}

// offset adds n, which must fit in width bits, to the prefix's address after
// shifting it left. A negative n counts from the end.
func offset(p netip.Prefix, width, shift int, n *big.Int) (netip.Addr, error) {
	size := new(big.Int).Lsh(big.NewInt(1), uint(width))
	if n.Sign() < 0 {
		n = new(big.Int).Add(size, n)
	}
	if n.Sign() < 0 || n.Cmp(size) >= 0 {
		return netip.Addr{}, errors.New("the number does not fit into the prefix")
	}
	base := new(big.Int).SetBytes(p.Addr().AsSlice())
	base.Add(base, new(big.Int).Lsh(n, uint(shift)))
	a, ok := netip.AddrFromSlice(base.FillBytes(make([]byte, p.Addr().BitLen()/8)))
	if !ok {
		return netip.Addr{}, errors.New("the address does not fit")
	}
	return a, nil
}
