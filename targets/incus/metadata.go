package incus

import (
	"encoding/json"

	"cloudy/builder/tree"
	"cloudy/targets/container"
)

// metadata.yaml (shared/api/image.go: ImageMetadata). JSON is YAML.
type (
	imageMetadata struct {
		Architecture string              `json:"architecture"`
		CreationDate int64               `json:"creation_date"`
		ExpiryDate   int64               `json:"expiry_date,omitempty"`
		Properties   map[string]string   `json:"properties"`
		Templates    map[string]template `json:"templates"`
	}
	template struct {
		When       []string `json:"when"`
		CreateOnly bool     `json:"create_only"`
		Template   string   `json:"template"`
	}
)

// name is the container's in a template, which is in pongo2; LXD and Incus
// both call the container so.
const name = "{{ container.name }}"

// metadata is what an image has beside its root.
func (b *build) metadata() (*tree.Tree, error) {
	machine, err := container.Machine(b.Arch)
	if err != nil {
		return nil, err
	}
	release := container.ReleaseOf(b.root)
	when := []string{"create", "copy", "rename"}
	m := imageMetadata{
		Architecture: machine, CreationDate: b.Epoch.Unix(),
		Properties: map[string]string{
			"architecture": machine, "description": b.description(), "name": b.BaseName, "os": release.ID,
			"release": release.Codename, "variant": b.Image, "serial": b.serial(),
		},
		Templates: map[string]template{"/etc/hostname": {When: when, Template: "hostname.tpl"}},
	}
	files := map[string]string{"templates/hostname.tpl": name + "\n"}
	if text, ok := container.New(b.Root, b.Epoch).Hosts(name); ok {
		m.Templates["/etc/hosts"] = template{When: when, Template: "hosts.tpl"}
		files["templates/hosts.tpl"] = text
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	files["metadata.yaml"] = string(data) + "\n"
	return container.Files(b.Epoch, files), nil
}

func (b *build) description() string {
	if b.o.Description != "" {
		return b.Image + ": " + b.o.Description
	}
	return b.Image
}

// serial names the image's version; simplestreams wants it to begin with the
// date.
func (b *build) serial() string { return b.Epoch.UTC().Format("20060102_1504") }
