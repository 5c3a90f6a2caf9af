package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"github.com/litemaas/litemaas/models"
)

// defaultFile is read when it is there and no other is named.
const defaultFile = "litemaas.yaml"

const originDefault = "default"

// value is what was read for one key.
type value struct {
	is     any    // of the type of its field; nil: not set, and without a default
	text   string // as it was written
	origin string
}

// sources is where values come from.
type sources struct {
	flags map[string]value // by key
	file  map[string]value
}

// readValues reads every setting. All that is wrong is told at once.
func readValues(cmd *cobra.Command) (map[string]value, error) {
	var wrong []error
	src, err := openSources(cmd)
	if err != nil {
		return nil, err
	}
	for _, given := range []map[string]value{src.file, src.flags} {
		for _, key := range slices.Sorted(maps.Keys(given)) {
			if _, ok := settingOf(key); !ok {
				wrong = append(wrong, unknown(key, given[key].origin))
			}
		}
	}
	out := map[string]value{}
	for _, s := range settings {
		v, err := src.read(s)
		if err != nil {
			wrong = append(wrong, err)
		}
		out[s.key] = v
	}
	return out, together(wrong)
}

// together makes one error of several; it blames the key of the first.
func together(wrong []error) error {
	if len(wrong) < 2 {
		return errors.Join(wrong...)
	}
	lines := make([]string, len(wrong))
	for i, err := range wrong {
		lines[i] = "  " + err.Error()
	}
	first, _ := errors.AsType[*models.Error](wrong[0])
	return models.Errorf(models.Invalid, "%d settings are wrong:\n%s", len(wrong), strings.Join(lines, "\n")).On(first.Field)
}

func unknown(key, origin string) error {
	hint := "`litemaas config --example` lists every setting"
	if isSection(key) {
		hint = "it is a section, whose settings stand below it"
	} else if near := nearest(key); near != "" {
		hint = "did you mean " + near + "?"
	}
	return models.Errorf(models.Invalid, "%s (%s) is no setting: %s", key, origin, hint).On(key)
}

func openSources(cmd *cobra.Command) (sources, error) {
	src := sources{flags: map[string]value{}}
	var err error
	if src.file, err = readFile(cmd); err != nil {
		return src, err
	}
	pairs, _ := cmd.Flags().GetStringArray("set") // errs only on a command that has no such flag
	for _, pair := range pairs {
		key, text, ok := strings.Cut(pair, "=")
		if !ok {
			return src, models.Errorf(models.Invalid, "--set wants key=value, as in --set log.level=debug").On("--set")
		}
		src.flags[strings.ToLower(strings.TrimSpace(key))] = value{text: text, origin: "flag --set"}
	}
	for _, s := range settings {
		if f := cmd.Flags().Lookup(s.flag); f != nil && f.Changed {
			src.flags[s.key] = value{text: f.Value.String(), origin: "flag --" + s.flag}
		}
	}
	return src, nil
}

// read finds the value of s and judges it.
func (src sources) read(s setting) (value, error) {
	v, err := src.find(s)
	if err != nil || v.text == "" {
		return v, err
	}
	is, ok := s.kind.read(v.text)
	if !ok {
		return v, bad(s, v, s.kind.right)
	}
	v.is = is
	return v, nil
}

func bad(s setting, v value, right string) error {
	shown := "not good"
	if s.kind.show == nil {
		shown = fmt.Sprintf("%q", v.text)
	}
	return models.Errorf(models.Invalid, "%s is %s (%s): it must be %s", s.key, shown, v.origin, right).On(s.key)
}

// find returns the text of s from the source that counts. An empty text counts as not set.
func (src sources) find(s setting) (value, error) {
	if v, ok := src.flags[s.key]; ok && v.text != "" {
		return v, nil
	}
	if text := os.Getenv(s.env()); text != "" {
		return value{text: text, origin: "environment " + s.env()}, nil
	}
	for _, a := range s.aliases {
		v := value{text: os.Getenv(a.name), origin: "environment " + a.name}
		if v.text == "" {
			continue
		}
		if a.as != nil {
			text, ok := a.as.to(v.text)
			if !ok {
				return v, bad(s, v, a.as.right)
			}
			v.text = text
		}
		if v.text != "" {
			return v, nil
		}
	}
	if v, ok := src.file[s.key]; ok && v.text != "" {
		return v, nil
	}
	return value{text: s.def, origin: originDefault}, nil
}

// readFile reads the file into texts by key.
func readFile(cmd *cobra.Command) (map[string]value, error) {
	path, _ := cmd.Flags().GetString("config") // errs only on a command that has no such flag
	named := path != ""
	if !named {
		path = os.Getenv("LITEMAAS_CONFIG")
		named = path != ""
	}
	if !named {
		path = defaultFile
	}
	v := viper.New()
	v.SetConfigFile(path)
	v.SetConfigType("yaml")
	if err := v.ReadInConfig(); err != nil {
		if errors.Is(err, fs.ErrNotExist) && !named {
			return nil, nil
		}
		return nil, models.Errorf(models.Invalid, "the configuration file %s cannot be read: %s", path, unquoted(err)).On("--config")
	}
	out := map[string]value{}
	for _, key := range v.AllKeys() {
		is := v.Get(key)
		if is == nil && isSection(key) {
			continue
		}
		out[key] = value{text: textOf(is), origin: path}
	}
	return out, nil
}

// quoted is what a YAML parser quotes of a file, which may be a secret.
var quoted = regexp.MustCompile("`[^`]*`|\"[^\"]*\"")

func unquoted(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	if e, ok := errors.AsType[viper.ConfigParseError](err); ok {
		err = e.Unwrap()
	}
	return quoted.ReplaceAllString(strings.Join(strings.Fields(err.Error()), " "), "…")
}

func isSection(key string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return strings.HasPrefix(s.key, key+".") })
}

// textOf is a value of the file as text; a list becomes one with commas.
func textOf(is any) string {
	list, ok := is.([]any)
	if !ok {
		if is == nil {
			return ""
		}
		return fmt.Sprint(is)
	}
	parts := make([]string, len(list))
	for i, part := range list {
		parts[i] = textOf(part)
	}
	return strings.Join(parts, ",")
}

// strays are names in the environment that look like settings of ours and are none: mistyped,
// most likely. A Kubernetes service called litemaas puts some there too.
func strays() []string {
	var out []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, "LITEMAAS_")
		if !ours || slices.Contains(otherNames, name) || strings.HasPrefix(rest, "SERVICE_") || rest == "PORT" || strings.HasPrefix(rest, "PORT_") {
			continue
		}
		if slices.ContainsFunc(settings, func(s setting) bool { return s.env() == name }) {
			continue
		}
		said := name + " is no setting"
		if near := nearestEnv(name); near != "" {
			said += ": did you mean " + near + "?"
		}
		out = append(out, said)
	}
	slices.Sort(out)
	return out
}

// otherNames are names of ours that are no settings.
var otherNames = []string{"LITEMAAS_CONFIG", adminKeyEnv}
