// Cloth over the model's own shoulders and the torso below them; the neckline is cut in rest space.
in vec3 v_world;
in vec3 v_normal;
in vec4 v_rest;
uniform vec3 u_cloth;
uniform vec3 u_cloth_second;
uniform int u_pattern;        // 0 plain, 1 stripes, 2 check, 3 knit, 4 open jacket over a second colour
uniform vec3 u_neckline;      // y at the front, sides, back
uniform float u_opening;      // V opening at the front, cm per cm
uniform float u_band;         // height of the ribbed edge, cm
out vec4 f_colour;
void main() {
    vec3 rest = v_rest.xyz;
    float turn = rest.z + 1.0 > 0.0 ? u_neckline.x : u_neckline.z;
    float round_neck = abs(atan(rest.x, rest.z + 1.0)) / 1.5708;
    float edge = round_neck < 1.0 ? mix(u_neckline.x, u_neckline.y, round_neck * round_neck * (3.0 - 2.0 * round_neck))
                                  : mix(u_neckline.y, u_neckline.z, round_neck - 1.0);
    float below = edge - rest.y;
    if (rest.z > 0.0) below -= u_opening * max(0.0, 3.6 - abs(rest.x));
    if (below < 0.0) discard;
    vec4 noise = texture(u_noise, rest * 0.09);
    vec4 weave = texture(u_noise, rest * 0.6);
    vec3 cloth = u_cloth;
    if (u_pattern == 1) cloth = mix(u_cloth, u_cloth_second, smoothstep(-0.1, 0.1, sin(rest.y * 2.6 + noise.r)));
    if (u_pattern == 2) cloth = mix(u_cloth, u_cloth_second, 0.5 * step(0.0, sin(rest.y * 2.2)) + 0.5 * step(0.0, sin(rest.x * 2.2)));
    if (u_pattern == 3) cloth *= 0.86 + 0.28 * smoothstep(-0.6, 0.6, sin(rest.x * 5.0));
    if (u_pattern == 4 && rest.z > 0.0 && abs(rest.x) < 2.2 + 0.35 * below) cloth = u_cloth_second;
    if (below < u_band) cloth *= 0.80 + 0.12 * sin(atan(rest.x, rest.z + 1.0) * 70.0);
    cloth *= 0.82 + 0.25 * noise.g + 0.12 * (weave.b - 0.5);
    vec3 n = normalize(v_normal + 0.35 * (noise.rgb - 0.5));
    vec3 v = to_camera(v_world);
    if (dot(v_normal, v) < 0.0) n = -n;
    float ao = smoothstep(-0.4, 1.2, below) * 0.45 + 0.55;
    f_colour = developed(shade(cloth, v_world, n, v, ao, vec3(0.15), 0.02, 8.0), u_class);
}
