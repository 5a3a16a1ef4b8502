package org.sightline.vla.policy.rest;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.sightline.formats.FormatException;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.rlds.Step;

/** A policy behind {@code POST /act}, such as one that OpenVLA's {@code deploy.py} serves. */
public final class RemotePolicy {
  private static final Duration PATIENCE = Duration.ofMinutes(5);

  /** Of an answer: 7 numbers in any form, or a word on what is wrong. */
  private static final int MOST_BYTES = 1 << 16;

  /** What messages call it. */
  private static final Path ANSWER = Path.of("answer");

  private final HttpClient client = HttpClient.newHttpClient();
  private final URI uri;
  private final String unnormKey;
  private final Duration patience;

  /**
   * Of a server; nothing is asked yet.
   *
   * @param server such as {@code http://localhost:8000}
   * @param unnormKey dataset whose statistics scale the actions; null: the server's choice
   */
  public RemotePolicy(URI server, String unnormKey) {
    this(server, unnormKey, PATIENCE);
  }

  RemotePolicy(URI server, String unnormKey, Duration patience) {
    if (server.getScheme() == null || !server.getScheme().startsWith("http")) {
      throw new IllegalArgumentException("server must be an http address, found " + server);
    }
    this.uri = server.resolve("/act");
    this.unnormKey = unnormKey;
    this.patience = patience;
  }

  /**
   * The action for what the camera sees, 7 values in the data's units.
   *
   * @throws IOException if there is no answer, or none that is an action
   */
  public float[] act(RgbImage image, String instruction) throws IOException {
    JsonObject body = new JsonObject();
    body.add("image", NumpyJson.of(image));
    body.addProperty("instruction", instruction);
    if (unnormKey != null) {
      body.addProperty("unnorm_key", unnormKey);
    }
    HttpRequest request =
        HttpRequest.newBuilder(uri)
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(body.toString()))
            .build();
    Future<String> answer =
        client
            .sendAsync(request, HttpResponse.BodyHandlers.ofInputStream())
            .thenApply(RemotePolicy::text);
    String text;
    try { // HttpRequest's own timeout is that of the headers.
      text = answer.get(patience.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted while waiting for " + uri, e);
    } catch (TimeoutException e) {
      throw new IOException("%s gave no whole answer in %s".formatted(uri, patience), e);
    } catch (ExecutionException e) {
      throw new IOException(uri + ": " + reason(e.getCause()), e);
    } finally {
      answer.cancel(true);
    }
    float[] action;
    try {
      action = NumpyJson.numbers(NumpyJson.holding(ANSWER, "action", text), "action");
    } catch (FormatException e) {
      throw new IOException(uri + ": " + e.getMessage(), e);
    }
    if (action.length != Step.ACTION_SIZE) {
      throw new IOException(
          "%s: action must have %d values, found %d"
              .formatted(uri, Step.ACTION_SIZE, action.length));
    }
    return action;
  }

  private static String text(HttpResponse<InputStream> response) {
    try (InputStream body = response.body()) {
      byte[] bytes = body.readNBytes(MOST_BYTES + 1);
      if (bytes.length > MOST_BYTES) {
        throw new IOException("answered more than %d bytes".formatted(MOST_BYTES));
      }
      String text = new String(bytes, StandardCharsets.UTF_8);
      // deploy.py answers what goes wrong with the word "error" and code 200.
      if (response.statusCode() != 200 || text.equals("\"error\"")) {
        throw new IOException(
            "answered %d: %s"
                .formatted(response.statusCode(), text.substring(0, Math.min(300, text.length()))));
      }
      return text;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String reason(Throwable cause) {
    Throwable shown = cause instanceof UncheckedIOException ? cause.getCause() : cause;
    return shown.getMessage() == null ? shown.toString() : shown.getMessage();
  }
}
