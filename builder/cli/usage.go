package cli

// usageTemplate is cobra's, shorter: groups without verbs are left out, and a
// verb's page names the global flags in one line instead of repeating them.
const usageTemplate = `{{if .Runnable}}Usage:
  {{.UseLine}}
{{end}}{{if .HasExample}}
Examples:
{{.Example}}
{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{range $group := .Groups}}{{$n := 0}}{{range $cmds}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}{{$n = 1}}{{end}}{{end}}{{if $n}}
{{.Title}}{{range $cmds}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{end}}{{if not .Groups}}
Commands:{{range $cmds}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableInheritedFlags}}
"cloudy --help" lists the flags that every command takes.
{{end}}{{if .HasHelpSubCommands}}
More help:{{range .Commands}}{{if .IsAdditionalHelpTopicCommand}}
  cloudy help {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}
{{end}}`

// helpTemplate is the long text with the usage below it; a topic is its text alone.
const helpTemplate = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}
{{end}}{{if or .Runnable .HasSubCommands}}
{{.UsageString}}{{end}}`
