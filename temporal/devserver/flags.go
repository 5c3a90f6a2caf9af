package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/dynamicconfig"
	"gopkg.in/yaml.v3"
)

// options is what the command line asks for.
type options struct {
	ip, uiIP      netip.Addr // no uiIP means ip
	port, uiPort  uint16     // no uiPort means port + 1000
	headless      bool
	namespaces    []string // besides "default"
	attributes    map[string]enums.IndexedValueType
	dynamic       dynamicconfig.StaticClient
	dbFile        string // "" means in memory
	logLevel      string
	logFormat     string
	stopWithStdin bool
}

func defaults() *options {
	return &options{
		ip: loopback, port: 7233, logLevel: "error", logFormat: "text",
		attributes: map[string]enums.IndexedValueType{}, dynamic: dynamicConfig(),
	}
}

// register adds the flags that set o. A value that a flag does not know is an error that
// names the flag.
func (o *options) register(f *pflag.FlagSet) {
	f.Func("ip", "`address` to listen on (default 127.0.0.1)", ipInto(&o.ip))
	f.FuncP("port", "p", "`port` of the server (default 7233)", portInto(&o.port))
	f.Func("ui-ip", "`address` of the UI (default --ip)", ipInto(&o.uiIP))
	f.Func("ui-port", "`port` of the UI (default --port + 1000)", portInto(&o.uiPort))
	f.BoolVar(&o.headless, "headless", false, "serve no UI")
	f.StringArrayVarP(&o.namespaces, "namespace", "n", nil, "`name` of a namespace to make besides \"default\"; may be repeated")
	f.Func("search-attribute", "search attribute that these namespaces have, as `Name=Type`; may be repeated", o.addAttribute)
	f.Func("dynamic-config-value", "setting of the server, as `key=JSON`; may be repeated", o.addDynamic)
	f.StringVarP(&o.dbFile, "db-filename", "f", "", "SQLite `file` to keep the data in, made when it is not there (default in memory)")
	f.Func("log-level", "log from this `level` on: debug, info, warn, error or never (default error)",
		oneOf(&o.logLevel, "debug", "info", "warn", "error", "never"))
	f.Func("log-format", "`format` of the log: text, pretty (the same) or json (default text)",
		oneOf(&o.logFormat, "text", "pretty", "json"))
	f.BoolVar(&o.stopWithStdin, "stop-with-stdin", false, "stop at the end of stdin, so as not to outlive a parent that holds a pipe")
}

// frontend is where clients reach the server.
func (o *options) frontend() netip.AddrPort {
	return netip.AddrPortFrom(o.ip, o.port)
}

// ui is where people reach it.
func (o *options) ui() netip.AddrPort {
	ip, port := o.uiIP, o.uiPort
	if !ip.IsValid() {
		ip = o.ip
	}
	if port == 0 {
		port = uint16(min(int(o.port)+1000, 65535))
	}
	return netip.AddrPortFrom(ip, port)
}

// data says where the data are.
func (o *options) data() string {
	if o.dbFile == "" {
		return "in memory"
	}
	return o.dbFile
}

// allNamespaces has "default" among them, which clients may count on.
func (o *options) allNamespaces() []string {
	names := append([]string{"default"}, o.namespaces...)
	slices.Sort(names)
	return slices.Compact(names)
}

func (o *options) addAttribute(s string) error {
	name, kind, ok := strings.Cut(s, "=")
	t := enums.IndexedValueType(enums.IndexedValueType_shorthandValue[kind])
	if !ok || name == "" || t == enums.INDEXED_VALUE_TYPE_UNSPECIFIED {
		kinds := slices.Sorted(maps.Keys(enums.IndexedValueType_shorthandValue))
		kinds = slices.DeleteFunc(kinds, func(k string) bool { return k == "Unspecified" })
		return fmt.Errorf("want Name=Type, where the type is one of %s", strings.Join(kinds, ", "))
	}
	o.attributes[name] = t
	return nil
}

func (o *options) addDynamic(s string) error {
	key, value, ok := strings.Cut(s, "=")
	if !ok || key == "" || !json.Valid([]byte(value)) {
		return errors.New("want key=value, where the value is JSON (a string needs its quotes)")
	}
	var v any // read as YAML, which makes an int of a whole number, as the server wants it
	if err := yaml.Unmarshal([]byte(value), &v); err != nil {
		return err
	}
	o.dynamic[dynamicconfig.MakeKey(key)] = v
	return nil
}

func ipInto(ip *netip.Addr) func(string) error {
	return func(s string) (err error) {
		if s == "localhost" {
			*ip = loopback
			return nil
		}
		*ip, err = netip.ParseAddr(s)
		return err
	}
}

func portInto(port *uint16) func(string) error {
	return func(s string) error {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			return errors.New("want a number from 1 to 65535")
		}
		*port = uint16(n)
		return nil
	}
}

func oneOf(value *string, known ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(known, s) {
			return fmt.Errorf("want one of %s", strings.Join(known, ", "))
		}
		*value = s
		return nil
	}
}
