package org.sightline.vla.policy.rest;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.rlds.Step;

/** A policy behind {@code POST /act}, such as one that OpenVLA's {@code deploy.py} serves. */
public final class RemotePolicy {
  private static final Duration PATIENCE = Duration.ofMinutes(5);

  private final HttpClient client = HttpClient.newHttpClient();
  private final URI uri;
  private final String unnormKey;

  /**
   * Of a server; nothing is asked yet.
   *
   * @param server such as {@code http://localhost:8000}
   * @param unnormKey dataset whose statistics scale the actions; null: the server's choice
   */
  public RemotePolicy(URI server, String unnormKey) {
    if (server.getScheme() == null || !server.getScheme().startsWith("http")) {
      throw new IllegalArgumentException("server must be an http address, found " + server);
    }
    this.uri = server.resolve("/act");
    this.unnormKey = unnormKey;
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
            .timeout(PATIENCE)
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(body.toString()))
            .build();
    HttpResponse<String> response;
    try {
      response = client.send(request, HttpResponse.BodyHandlers.ofString());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted while waiting for " + uri, e);
    }
    String text = response.body();
    // deploy.py answers what goes wrong with the word "error" and code 200.
    if (response.statusCode() != 200 || text.equals("\"error\"")) {
      throw new IOException(
          "%s answered %d: %s"
              .formatted(
                  uri, response.statusCode(), text.substring(0, Math.min(300, text.length()))));
    }
    float[] action;
    try {
      action = NumpyJson.numbers("action", NumpyJson.parse("action", text));
    } catch (IllegalArgumentException e) {
      throw new IOException(uri + ": " + e.getMessage(), e);
    }
    if (action.length != Step.ACTION_SIZE) {
      throw new IOException(
          "%s: action must have %d values, found %d"
              .formatted(uri, Step.ACTION_SIZE, action.length));
    }
    return action;
  }
}
