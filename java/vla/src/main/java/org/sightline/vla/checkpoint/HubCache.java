package org.sightline.vla.checkpoint;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.InputFile;

/**
 * Models by their id on the Hugging Face Hub, such as {@code openvla/openvla-7b}, where
 * huggingface_hub keeps what it has downloaded: {@code models--ORG--NAME/snapshots/COMMIT}. A file
 * or folder of the same name goes before.
 *
 * @param folder of all models
 */
public record HubCache(Path folder) {
  private static final Pattern ID = Pattern.compile("\\w[\\w.-]*/\\w[\\w.-]*");
  private static final Pattern SNAPSHOT =
      Pattern.compile(".*/models--([^/]+?)--([^/]+)/snapshots/[^/]+");

  /** The cache that huggingface_hub uses in this environment. */
  public static HubCache ofUser() {
    return of(System.getenv(), System.getProperty("user.home"));
  }

  public static HubCache of(Map<String, String> environment, String home) {
    Function<String, Stream<Path>> named =
        variable ->
            Stream.ofNullable(environment.get(variable))
                .filter(value -> !value.isEmpty())
                .map(
                    value ->
                        Path.of(value.replaceFirst("^~(?=/|$)", Matcher.quoteReplacement(home))));
    return Stream.of(
            named.apply("HF_HUB_CACHE"),
            named.apply("HUGGINGFACE_HUB_CACHE"),
            named.apply("HF_HOME").map(place -> place.resolve("hub")),
            named.apply("XDG_CACHE_HOME").map(place -> place.resolve("huggingface/hub")),
            Stream.of(Path.of(home, ".cache/huggingface/hub")))
        .flatMap(places -> places)
        .findFirst()
        .map(HubCache::new)
        .orElseThrow();
  }

  /** Where a model is: what is at that path, else the cache's newest snapshot, else the path. */
  public Path find(String name) {
    Path path = Path.of(name);
    Path model = folder.resolve("models--" + name.replace("/", "--"));
    Path main = model.resolve("refs/main");
    if (Files.exists(path) || !ID.matcher(name).matches() || !Files.isRegularFile(main)) {
      return path;
    }
    try {
      String commit = InputFile.text(main).strip();
      if (!InputFile.isPlainName(commit)) {
        throw new FormatException(main, "document", commit, "the name of a snapshot");
      }
      Path snapshot = model.resolve("snapshots").resolve(commit);
      return hasWeights(snapshot) ? snapshot : path;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Programs that ask for a configuration alone leave a snapshot without weights. */
  private static boolean hasWeights(Path snapshot) throws IOException {
    if (!Files.isDirectory(snapshot)) {
      return false;
    }
    try (Stream<Path> files = Files.list(snapshot)) {
      return files.anyMatch(file -> file.toString().endsWith(".safetensors"));
    }
  }

  /** What to do about a model that is not there; empty if it is no id. */
  public String hint(Path missing) {
    return ID.matcher(missing.toString()).matches()
        ? "; if it is a model on the Hugging Face Hub, it is not in the cache %s: hf download %s"
            .formatted(folder, missing)
        : "";
  }

  /** The id of a model in a cache, which means the same on every machine; else the whole path. */
  public static String name(Path path) {
    String absolute = path.toAbsolutePath().normalize().toString();
    Matcher snapshot = SNAPSHOT.matcher(absolute);
    return snapshot.matches() ? snapshot.group(1) + "/" + snapshot.group(2) : absolute;
  }
}
